// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IEscrow} from "./interfaces/IEscrow.sol";
import {Admission, IPlaza} from "./interfaces/IPlaza.sol";
import {IProviders} from "./interfaces/IProviders.sol";
import {ChargeLib} from "./libraries/ChargeLib.sol";
import {HashLib} from "./libraries/HashLib.sol";
import {Deal, LEASE, Outcome, Receipt, State, Terms} from "./types/Deal.sol";

/// @title Escrow
/// @notice See `IEscrow`.
/// @dev Every function goes: checks, effects, event, transfer. Functions that move tokens are not
/// reentrant, so that no two measurements of one increase overlap; all others call no one.
contract Escrow is IEscrow, EIP712, ReentrancyGuardTransient {
    using HashLib for Terms;
    using HashLib for Receipt;
    using SafeERC20 for IERC20;

    /* CONSTANTS */

    /// @dev The longest a deal may last after acceptBy.
    uint40 private constant MAX_DURATION = 366 days;

    /// @dev A provider's fault before this many seconds is free.
    uint40 private constant FREE_FAULT = 5 minutes;

    /* IMMUTABLES */

    /// @inheritdoc IEscrow
    address public immutable plaza;

    /// @inheritdoc IEscrow
    uint40 public immutable disputeWindow;

    /// @inheritdoc IEscrow
    uint40 public immutable acceptLead;

    /* STORAGE */

    /// @inheritdoc IEscrow
    mapping(address token => mapping(address account => uint256)) public balanceOf;

    /// @inheritdoc IEscrow
    mapping(address token => uint256) public fees;

    mapping(bytes32 id => Deal) private _deals;

    /* CONSTRUCTION */

    /// @param plaza_ The root of the network.
    /// @param disputeWindow_ W, 1 second to 30 days.
    /// @param acceptLead_ A, at most 1 day.
    constructor(address plaza_, uint40 disputeWindow_, uint40 acceptLead_) EIP712("Plaza", "1") {
        require(
            0 < disputeWindow_ && disputeWindow_ <= 30 days && acceptLead_ <= 1 days,
            WindowOutOfBounds(disputeWindow_, acceptLead_)
        );
        plaza = plaza_;
        disputeWindow = disputeWindow_;
        acceptLead = acceptLead_;
    }

    /* READING */

    /// @inheritdoc IEscrow
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IEscrow
    function deals(bytes32 id) external view returns (Deal memory) {
        return _deals[id];
    }

    /// @inheritdoc IEscrow
    function dealId(Terms calldata terms) public view returns (bytes32) {
        return _hashTypedDataV4(terms.hash());
    }

    /* BALANCES */

    /// @inheritdoc IEscrow
    function deposit(address token, address account, uint256 amount) external nonReentrant {
        _credit(token, account, amount);

        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _requireIncrease(token, before, amount);
    }

    /// @inheritdoc IEscrow
    function depositWithAuthorization(
        address token,
        address account,
        uint256 amount,
        uint256 validBefore,
        bytes32 salt,
        bytes calldata signature
    ) external nonReentrant {
        _credit(token, account, amount);

        bytes32 nonce = keccak256(abi.encodePacked("deposit", salt));
        _pullAuthorized(token, account, amount, validBefore, nonce, signature);
    }

    /// @inheritdoc IEscrow
    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        require(to != address(this), WrongReceiver(to));

        _debit(token, msg.sender, amount);

        emit Withdrawn(token, msg.sender, to, amount, balanceOf[token][msg.sender]);
        IERC20(token).safeTransfer(to, amount);
    }

    /// @inheritdoc IEscrow
    function collect(address token) external nonReentrant {
        address receiver = IPlaza(plaza).feeReceiver();
        require(receiver != address(0) && receiver != address(this), WrongReceiver(receiver));

        uint256 amount = fees[token];
        fees[token] = 0;

        emit Collected(token, receiver, amount);
        IERC20(token).safeTransfer(receiver, amount);
    }

    /* OPENING */

    /// @inheritdoc IEscrow
    function open(
        Terms calldata terms,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external {
        bytes32 id = dealId(terms);
        // With no session only the renter itself can spend its balance, not the key it names.
        require(_agrees(terms.renter, id, renterSignature), RenterConsentMissing());
        _requireOpenable(terms, id, providerSignature);

        _debit(terms.token, terms.renter, _escrowed(terms));
        _open(terms, id, false);
    }

    /// @inheritdoc IEscrow
    function openWithAuthorization(
        Terms calldata terms,
        bytes calldata authorization,
        bytes calldata providerSignature
    ) external nonReentrant {
        bytes32 id = dealId(terms);
        _requireOpenable(terms, id, providerSignature);

        _open(terms, id, true);

        uint256 validBefore = uint256(terms.acceptBy) + 1;
        _pullAuthorized(terms.token, terms.renter, _escrowed(terms), validBefore, id, authorization);
    }

    /// @inheritdoc IEscrow
    function cancel(Terms calldata terms) external {
        require(msg.sender == terms.renter, NotRenter(msg.sender));
        bytes32 id = dealId(terms);
        State state = _deals[id].state;
        require(state == State.None, WrongState(state));

        _deals[id].state = State.Cancelled;

        emit Cancelled(id, terms.renter, terms.provider);
    }

    /* WHILE OPEN */

    /// @inheritdoc IEscrow
    function topUp(Terms calldata terms, uint96 amount) external {
        require(msg.sender == terms.renter, NotRenter(msg.sender));
        bytes32 id = dealId(terms);
        Deal storage deal = _deals[id];
        require(deal.state == State.Open, WrongState(deal.state));
        require(block.timestamp < terms.expiry, TooLate(terms.expiry));
        require(IPlaza(plaza).pausedUntil() <= block.timestamp, OpensPaused());

        _debit(terms.token, terms.renter, amount);
        deal.locked += amount;

        emit ToppedUp(id, amount, deal.locked);
    }

    /// @inheritdoc IEscrow
    function present(
        Terms calldata terms,
        Receipt calldata receipt,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external {
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        _requireTakesReceipts(terms, deal);
        _requireRunning(terms, receipt, deal.locked, id);
        bytes32 digest = _hashTypedDataV4(receipt.hash());
        require(_signed(terms.renterKey, digest, renterSignature), RenterConsentMissing());
        require(_signed(terms.providerKey, digest, providerSignature), ProviderConsentMissing());

        if (receipt.amount <= deal.floor) return;
        _deals[id].floor = receipt.amount;

        emit Presented(id, receipt.amount, receipt.elapsed, receipt.result, receipt.meter);
    }

    /* EXITS */

    /// @inheritdoc IEscrow
    function stop(Terms calldata terms, bytes calldata renterSignature) external {
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        require(deal.state == State.Open, WrongState(deal.state));
        bytes32 digest = _hashTypedDataV4(HashLib.hashStop(id));
        require(_renterAgrees(terms, digest, renterSignature), RenterConsentMissing());

        deal.state = State.Stopped;
        deal.until = _windowEnd();
        _deals[id] = deal;

        emit Stopped(id, deal.until);
    }

    /// @inheritdoc IEscrow
    function claim(
        Terms calldata terms,
        Receipt calldata receipt,
        bytes calldata renterSignature,
        bytes calldata providerSignature,
        uint16 extra
    ) external {
        require(_isProvider(terms), NotProvider(msg.sender));
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        _requireTakesReceipts(terms, deal);
        _requireRunning(terms, receipt, deal.locked, id);
        require(receipt.amount >= deal.floor, BelowFloor(receipt.amount, deal.floor));
        require(extra <= terms.grace, ExtraAboveGrace(extra, terms.grace));
        _requirePassed(terms, uint256(receipt.elapsed) + extra);
        bytes32 digest = _hashTypedDataV4(receipt.hash());
        require(_signed(terms.renterKey, digest, renterSignature), RenterConsentMissing());
        require(_providerAgrees(terms, digest, providerSignature), ProviderConsentMissing());

        deal.floor = receipt.amount;
        deal.extra = extra;
        deal.state = State.Claimed;
        deal.until = _windowEnd();
        _deals[id] = deal;

        emit Claimed(
            id, deal.floor, extra, deal.until, receipt.elapsed, receipt.result, receipt.meter
        );
    }

    /// @inheritdoc IEscrow
    function claimFloor(Terms calldata terms) external {
        require(_isProvider(terms), NotProvider(msg.sender));
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        _requireTakesReceipts(terms, deal);

        deal.state = State.Claimed;
        deal.until = _windowEnd();
        _deals[id] = deal;

        emit Claimed(id, deal.floor, 0, deal.until, 0, 0, 0);
    }

    /// @inheritdoc IEscrow
    function settle(
        Terms calldata terms,
        Receipt calldata receipt,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external {
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        require(
            deal.state == State.Open || deal.state == State.Stopped || deal.state == State.Claimed,
            WrongState(deal.state)
        );
        require(receipt.outcome != Outcome.Running, WrongOutcome(receipt.outcome));
        _requireWithinBounds(terms, receipt, deal.locked, id);
        bool free = receipt.outcome == Outcome.ProviderFault && receipt.elapsed < FREE_FAULT;
        require(!free || receipt.amount == 0, EarlyFaultIsFree(receipt.amount));
        bytes32 digest = _hashTypedDataV4(receipt.hash());
        require(_renterAgrees(terms, digest, renterSignature), RenterConsentMissing());
        require(_providerAgrees(terms, digest, providerSignature), ProviderConsentMissing());

        _settle(terms, id, deal.locked, receipt);
    }

    /// @inheritdoc IEscrow
    function contest(Terms calldata terms, bytes calldata renterSignature) external {
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        require(deal.state == State.Claimed, WrongState(deal.state));
        require(block.timestamp < deal.until, TooLate(deal.until));
        bytes32 digest = _hashTypedDataV4(HashLib.hashContest(id));
        require(_renterAgrees(terms, digest, renterSignature), RenterConsentMissing());

        _settleByExit(terms, id, deal.locked, deal.floor);
    }

    /// @inheritdoc IEscrow
    function finalize(Terms calldata terms) external {
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        require(deal.state == State.Stopped || deal.state == State.Claimed, WrongState(deal.state));
        require(deal.until <= block.timestamp, TooEarly(deal.until));

        uint96 amount = deal.floor;
        if (deal.state == State.Claimed) {
            uint256 due = amount + ChargeLib.chargeDown(terms.ratePerHour, deal.extra);
            // forge-lint: disable-next-line(unsafe-typecast) -- only where it is below `locked`
            amount = due < deal.locked ? uint96(due) : deal.locked;
        }
        _settleByExit(terms, id, deal.locked, amount);
    }

    /// @inheritdoc IEscrow
    function expire(Terms calldata terms) external {
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        require(deal.state == State.Open, WrongState(deal.state));
        uint256 deadline = _deadline(terms);
        require(deadline <= block.timestamp, TooEarly(deadline));

        _settleByExit(terms, id, deal.locked, deal.floor);
    }

    /* CHECKS */

    function _requireOpenable(Terms calldata terms, bytes32 id, bytes calldata providerSignature)
        private
        view
    {
        State state = _deals[id].state;
        require(state == State.None, WrongState(state));
        require(terms.session == 0, SessionRefused(terms.session));
        require(terms.kind == LEASE, KindRefused(terms.kind));
        require(terms.cap != 0, ZeroCap());
        require(terms.renterKey != address(0) && terms.providerKey != address(0), ZeroKey());
        require(
            block.timestamp <= terms.acceptBy && terms.acceptBy <= block.timestamp + acceptLead,
            AcceptByOutOfBounds(terms.acceptBy)
        );
        require(
            terms.acceptBy < terms.expiry && terms.expiry <= uint256(terms.acceptBy) + MAX_DURATION,
            ExpiryOutOfBounds(terms.expiry)
        );
        require(_providerAgrees(terms, id, providerSignature), ProviderConsentMissing());
        _requireAdmitted(terms);
    }

    function _requireAdmitted(Terms calldata terms) private view {
        Admission memory admission = IPlaza(plaza).admission(terms.token);
        require(admission.escrow == address(this), NotPresentEscrow(admission.escrow));
        require(!admission.paused, OpensPaused());
        require(admission.listed, TokenNotListed(terms.token));
        require(admission.feeBps == terms.feeBps, FeeNotPresent(admission.feeBps));
        require(
            IProviders(admission.providers).isAuthorised(terms.provider, terms.providerKey),
            KeyNotAuthorised(terms.provider, terms.providerKey)
        );
    }

    /// @dev Receipts are taken while Open before D and while Stopped before `until`.
    function _requireTakesReceipts(Terms calldata terms, Deal memory deal) private view {
        require(deal.state == State.Open || deal.state == State.Stopped, WrongState(deal.state));
        uint256 until = deal.state == State.Open ? _deadline(terms) : deal.until;
        require(block.timestamp < until, TooLate(until));
    }

    function _requireRunning(
        Terms calldata terms,
        Receipt calldata receipt,
        uint96 locked,
        bytes32 id
    ) private view {
        require(receipt.outcome == Outcome.Running, WrongOutcome(receipt.outcome));
        _requireWithinBounds(terms, receipt, locked, id);
    }

    function _requireWithinBounds(
        Terms calldata terms,
        Receipt calldata receipt,
        uint96 locked,
        bytes32 id
    ) private view {
        require(receipt.deal == id, WrongDeal(receipt.deal));
        require(receipt.amount <= locked, AmountAboveLocked(receipt.amount, locked));
        uint256 charge = ChargeLib.chargeDown(terms.ratePerHour, receipt.elapsed);
        require(receipt.amount <= charge, AmountAboveRate(receipt.amount, charge));
        _requirePassed(terms, receipt.elapsed);
    }

    /// @dev No more seconds than can have passed since the deal was opened.
    function _requirePassed(Terms calldata terms, uint256 elapsed) private view {
        uint256 end = block.timestamp < terms.expiry ? block.timestamp : terms.expiry;
        require(elapsed + terms.acceptBy <= end + acceptLead, SecondsAboveTime(elapsed));
    }

    /* SIDES */

    function _renterAgrees(Terms calldata terms, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        return (signature.length == 0 && msg.sender == terms.renter)
            || _agrees(terms.renterKey, digest, signature);
    }

    function _providerAgrees(Terms calldata terms, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        return (signature.length == 0 && msg.sender == terms.provider)
            || _agrees(terms.providerKey, digest, signature);
    }

    function _isProvider(Terms calldata terms) private view returns (bool) {
        return msg.sender == terms.provider || msg.sender == terms.providerKey;
    }

    /// @dev `account` is the sender or has signed.
    function _agrees(address account, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        return signature.length == 0 ? msg.sender == account : _signed(account, digest, signature);
    }

    function _signed(address account, bytes32 digest, bytes calldata signature)
        private
        pure
        returns (bool)
    {
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        return failure == ECDSA.RecoverError.NoError && signer == account;
    }

    /* TIMES */

    /// @dev D: from then on anyone may end an open deal.
    function _deadline(Terms calldata terms) private view returns (uint256) {
        return uint256(terms.expiry) + terms.grace + disputeWindow;
    }

    /// @dev now + W.
    function _windowEnd() private view returns (uint40) {
        // forge-lint: disable-next-line(unsafe-typecast) -- block time plus days fits 40 bits
        return uint40(block.timestamp + disputeWindow);
    }

    /* EFFECTS */

    function _open(Terms calldata terms, bytes32 id, bool pulled) private {
        _deals[id] = Deal({locked: terms.cap, floor: 0, until: 0, extra: 0, state: State.Open});
        if (terms.openFee != 0) balanceOf[terms.token][msg.sender] += terms.openFee;

        emit Opened(id, terms.renter, terms.provider, msg.sender, pulled, terms);
    }

    /// @dev Settle at an amount that no terminal receipt states.
    function _settleByExit(Terms calldata terms, bytes32 id, uint96 locked, uint96 amount) private {
        _settle(terms, id, locked, Receipt(id, amount, 0, Outcome.Running, 0, 0));
    }

    /// @dev The slot keeps only its state, as a tombstone. Assumes amount <= locked.
    function _settle(Terms calldata terms, bytes32 id, uint96 locked, Receipt memory last) private {
        (uint96 paid, uint96 fee, uint96 refund) =
            ChargeLib.splitDown(last.amount, locked, terms.feeBps);

        _deals[id] = Deal({locked: 0, floor: 0, until: 0, extra: 0, state: State.Settled});
        mapping(address => uint256) storage balances = balanceOf[terms.token];
        if (paid != 0) balances[terms.provider] += paid;
        if (fee != 0) fees[terms.token] += fee;
        if (refund != 0) balances[terms.renter] += refund;
        if (terms.closeFee != 0) balances[msg.sender] += terms.closeFee;

        emit Settled(
            id, msg.sender, paid, fee, refund, last.elapsed, last.outcome, last.result, last.meter
        );
    }

    function _credit(address token, address account, uint256 amount) private {
        uint256 balance = balanceOf[token][account] + amount;
        balanceOf[token][account] = balance;

        emit Deposited(token, account, amount, balance);
    }

    function _debit(address token, address account, uint256 amount) private {
        uint256 balance = balanceOf[token][account];
        require(amount <= balance, InsufficientBalance(balance, amount));
        balanceOf[token][account] = balance - amount;
    }

    /* TRANSFERS */

    /// @dev What leaves the renter's side at open.
    function _escrowed(Terms calldata terms) private pure returns (uint256) {
        return uint256(terms.cap) + terms.openFee + terms.closeFee;
    }

    function _pullAuthorized(
        address token,
        address from,
        uint256 amount,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) private {
        (uint8 v, bytes32 r, bytes32 s) = ECDSA.parseCalldata(signature);

        uint256 before = IERC20(token).balanceOf(address(this));
        IERC3009(token)
            .receiveWithAuthorization(from, address(this), amount, 0, validBefore, nonce, v, r, s);
        _requireIncrease(token, before, amount);
    }

    function _requireIncrease(address token, uint256 before, uint256 amount) private view {
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        require(received == amount, WrongAmountReceived(received, amount));
    }
}
