// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Balances} from "./Balances.sol";
import {Sessions} from "./Sessions.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {Admission, IPlaza} from "./interfaces/IPlaza.sol";
import {IProviders} from "./interfaces/IProviders.sol";
import {ChargeLib} from "./libraries/ChargeLib.sol";
import {ConsentLib} from "./libraries/ConsentLib.sol";
import {HashLib} from "./libraries/HashLib.sol";
import {Closing, MAX_BATCH, Opening} from "./types/Batch.sol";
import {Deal, LEASE, Outcome, Receipt, State, Terms} from "./types/Deal.sol";
import {Intent} from "./types/Intent.sol";
import {Grant, Session} from "./types/Session.sol";

/// @title Escrow
/// @notice See `IEscrow`.
/// @dev Every function goes: checks, effects, event. But for `openWithAuthorization` none moves a
/// token, and but for a contract wallet's word and the network's policy at open they ask no one.
contract Escrow is IEscrow, Sessions {
    using HashLib for Terms;
    using HashLib for Receipt;

    /* CONSTANTS */

    /// @dev The longest a deal may last after acceptBy.
    uint40 private constant MAX_DURATION = 366 days;

    /// @dev A provider's fault before this many seconds is free.
    uint40 private constant FREE_FAULT = 5 minutes;

    /* IMMUTABLES */

    /// @inheritdoc IEscrow
    address public immutable providers;

    /// @inheritdoc IEscrow
    uint40 public immutable disputeWindow;

    /// @inheritdoc IEscrow
    uint40 public immutable acceptLead;

    /* STORAGE */

    mapping(bytes32 id => Deal) private _deals;

    /* CONSTRUCTION */

    /// @param plaza_ The root of the network.
    /// @param providers_ The network's Providers.
    /// @param disputeWindow_ W, 1 second to 30 days.
    /// @param acceptLead_ A, at most 1 day.
    constructor(address plaza_, address providers_, uint40 disputeWindow_, uint40 acceptLead_)
        Balances(plaza_)
    {
        require(
            0 < disputeWindow_ && disputeWindow_ <= 30 days && acceptLead_ <= 1 days,
            WindowOutOfBounds(disputeWindow_, acceptLead_)
        );
        providers = providers_;
        disputeWindow = disputeWindow_;
        acceptLead = acceptLead_;
    }

    /* READING */

    /// @inheritdoc IEscrow
    function deals(bytes32 id) external view returns (Deal memory) {
        return _deals[id];
    }

    /// @inheritdoc IEscrow
    function dealId(Terms calldata terms) public view returns (bytes32) {
        return _hashTypedDataV4(terms.hash());
    }

    /* OPENING */

    /// @inheritdoc IEscrow
    function open(
        Terms calldata terms,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external {
        bytes32 id = dealId(terms);
        require(terms.session == 0, SessionRefused(terms.session));
        // With no session only the renter itself can spend its balance, not the key it names.
        bool sent = renterSignature.length == 0 && msg.sender == terms.renter;
        require(
            sent || ConsentLib.isByAny(terms.renter, id, renterSignature), RenterConsentMissing()
        );
        _requireOpenable(terms, id);
        require(_providerAgrees(terms, id, providerSignature), ProviderConsentMissing());
        _requireAdmitted(terms);

        _debit(terms.token, terms.renter, _escrowed(terms));
        _open(terms, id, msg.sender);
        emit Opened(id, terms.renter, terms.provider, msg.sender, false, terms);
    }

    /// @inheritdoc IEscrow
    function openInSession(
        Terms calldata terms,
        Grant calldata grant,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external {
        bytes32 id = dealId(terms);
        require(_renterAgrees(terms, id, renterSignature), RenterConsentMissing());
        _requireOpenable(terms, id);
        require(_providerAgrees(terms, id, providerSignature), ProviderConsentMissing());
        _requireAdmitted(terms);
        bytes32 session = sessionId(grant.session);
        _grant(grant.session, session, grant.signature, true);

        _openInSession(terms, id, grant.session, session, msg.sender);
    }

    /// @inheritdoc IEscrow
    function openWithAuthorization(
        Terms calldata terms,
        bytes calldata authorization,
        bytes calldata providerSignature
    ) external nonReentrant {
        bytes32 id = dealId(terms);
        require(terms.session == 0, SessionRefused(terms.session));
        _requireOpenable(terms, id);
        require(_providerAgrees(terms, id, providerSignature), ProviderConsentMissing());
        _requireAdmitted(terms);

        _open(terms, id, msg.sender);
        emit Opened(id, terms.renter, terms.provider, msg.sender, true, terms);

        uint256 validBefore = uint256(terms.acceptBy) + 1;
        _pullAuthorized(terms.token, terms.renter, _escrowed(terms), validBefore, id, authorization);
    }

    /// @inheritdoc IEscrow
    function openBatch(
        Opening[] calldata openings,
        Grant[] calldata grants,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external {
        bytes32[] memory ids = new bytes32[](_requireBatch(openings.length));
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = dealId(openings[i].terms);
        }
        Sides memory sides = _sidesOf(ids, renterSignature, providerSignature);
        bytes32[] memory sessions_ = new bytes32[](grants.length);
        for (uint256 i = 0; i < grants.length; ++i) {
            sessions_[i] = sessionId(grants[i].session);
            _grant(grants[i].session, sessions_[i], grants[i].signature, false);
        }

        for (uint256 i = 0; i < ids.length; ++i) {
            uint256 j = openings[i].grant;
            try this.openItem(openings[i].terms, ids[i], grants[j].session, sessions_[j], sides) {}
            catch (bytes memory reason) {
                emit Skipped(ids[i], reason);
            }
        }
    }

    /// @inheritdoc IEscrow
    function cancel(Terms calldata terms) external {
        require(_isSpender(terms, msg.sender), NotRenter(msg.sender));

        _cancel(terms, dealId(terms));
    }

    /// @inheritdoc IEscrow
    function cancelFor(Terms calldata terms, Intent calldata intent, bytes calldata signature)
        external
    {
        bytes32 id = dealId(terms);
        address signer = _signerOf(HashLib.hashCancel(id, intent), intent, signature);
        require(_isSpender(terms, signer), RenterConsentMissing());

        _cancel(terms, id);
        _payFeeOf(terms, signer, intent.fee);
    }

    /* WHILE OPEN */

    /// @inheritdoc IEscrow
    function topUp(Terms calldata terms, uint96 amount) external {
        require(msg.sender == terms.renter, NotRenter(msg.sender));

        if (terms.session != 0) _useByRenter(terms.session, amount);
        _topUp(terms, dealId(terms), amount);
    }

    /// @inheritdoc IEscrow
    function topUpFor(
        Terms calldata terms,
        uint96 amount,
        Session calldata session,
        Intent calldata intent,
        bytes calldata signature
    ) external {
        bytes32 id = dealId(terms);
        address signer = msg.sender;
        if (signature.length != 0) {
            signer = _signerOf(HashLib.hashTopUp(id, amount, intent), intent, signature);
            _useNonce(signer, intent.nonce);
        }
        require(_isSpender(terms, signer), RenterConsentMissing());

        if (signer == terms.renter) {
            if (terms.session != 0) _useByRenter(terms.session, amount);
        } else {
            require(sessionId(session) == terms.session, WrongSession(terms.session));
            _useByKey(session, terms.session, amount);
        }
        _topUp(terms, id, amount);
        _payFeeOf(terms, signer, intent.fee);
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
        require(ConsentLib.isBy(terms.renterKey, digest, renterSignature), RenterConsentMissing());
        require(
            ConsentLib.isBy(terms.providerKey, digest, providerSignature), ProviderConsentMissing()
        );

        if (receipt.amount <= deal.floor) return;
        _deals[id].floor = receipt.amount;

        emit Presented(id, receipt.amount, receipt.elapsed, receipt.result, receipt.meter);
    }

    /* EXITS */

    /// @inheritdoc IEscrow
    function stop(Terms calldata terms) external {
        _stop(terms, dealId(terms), msg.sender);
    }

    /// @inheritdoc IEscrow
    function stopFor(Terms calldata terms, Intent calldata intent, bytes calldata signature)
        external
    {
        bytes32 id = dealId(terms);
        address signer = _signerOf(HashLib.hashStop(id, intent), intent, signature);

        _stop(terms, id, signer);
        _payFeeOf(terms, signer, intent.fee);
    }

    /// @inheritdoc IEscrow
    function claim(
        Terms calldata terms,
        Receipt calldata receipt,
        bytes calldata renterSignature,
        bytes calldata providerSignature,
        uint16 extra
    ) external {
        require(_isProvider(terms, msg.sender), NotProvider(msg.sender));
        bytes32 id = dealId(terms);
        Deal memory deal = _deals[id];
        _requireTakesReceipts(terms, deal);
        _requireRunning(terms, receipt, deal.locked, id);
        require(receipt.amount >= deal.floor, BelowFloor(receipt.amount, deal.floor));
        require(extra <= terms.grace, ExtraAboveGrace(extra, terms.grace));
        _requirePassed(terms, uint256(receipt.elapsed) + extra);
        bytes32 digest = _hashTypedDataV4(receipt.hash());
        require(ConsentLib.isBy(terms.renterKey, digest, renterSignature), RenterConsentMissing());
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
        require(_isProvider(terms, msg.sender), NotProvider(msg.sender));
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
        (bytes32 id, uint96 locked) = _requireSettleable(terms, receipt);
        bytes32 digest = _hashTypedDataV4(receipt.hash());
        require(_renterAgrees(terms, digest, renterSignature), RenterConsentMissing());
        require(_providerAgrees(terms, digest, providerSignature), ProviderConsentMissing());

        _settle(terms, id, locked, receipt, msg.sender);
    }

    /// @inheritdoc IEscrow
    function settleBatch(
        Closing[] calldata closings,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external {
        bytes32[] memory digests = new bytes32[](_requireBatch(closings.length));
        for (uint256 i = 0; i < digests.length; ++i) {
            digests[i] = _hashTypedDataV4(closings[i].receipt.hash());
        }
        Sides memory sides = _sidesOf(digests, renterSignature, providerSignature);

        for (uint256 i = 0; i < digests.length; ++i) {
            try this.settleItem(closings[i].terms, closings[i].receipt, sides) {}
            catch (bytes memory reason) {
                emit Skipped(dealId(closings[i].terms), reason);
            }
        }
    }

    /// @inheritdoc IEscrow
    function contest(Terms calldata terms) external {
        _contest(terms, dealId(terms), msg.sender);
    }

    /// @inheritdoc IEscrow
    function contestFor(Terms calldata terms, Intent calldata intent, bytes calldata signature)
        external
    {
        bytes32 id = dealId(terms);
        address signer = _signerOf(HashLib.hashContest(id, intent), intent, signature);

        _contest(terms, id, signer);
        _payFeeOf(terms, signer, intent.fee);
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

    /* ITEMS OF BATCHES: called by this contract alone, so that one that reverts harms no other */

    /// @dev Who agreed to all items of a batch.
    struct Sides {
        address renter; // signer, or sender of the batch
        address provider;
        bool renterSent; // the sender, so that it may be the account as well as the key
        bool providerSent;
        address sender; // of the batch
    }

    modifier onlyInBatch() {
        require(msg.sender == address(this), NotOfBatch(msg.sender));
        _;
    }

    /// @dev An item of `openBatch`.
    function openItem(
        Terms calldata terms,
        bytes32 id,
        Session calldata session,
        bytes32 sessionId_,
        Sides calldata sides
    ) external onlyInBatch {
        _requireRenter(terms, sides);
        _requireOpenable(terms, id);
        _requireProvider(terms, sides);
        _requireAdmitted(terms);

        _openInSession(terms, id, session, sessionId_, sides.sender);
    }

    /// @dev An item of `settleBatch`.
    function settleItem(Terms calldata terms, Receipt calldata receipt, Sides calldata sides)
        external
        onlyInBatch
    {
        (bytes32 id, uint96 locked) = _requireSettleable(terms, receipt);
        _requireRenter(terms, sides);
        _requireProvider(terms, sides);

        _settle(terms, id, locked, receipt, sides.sender);
    }

    function _requireBatch(uint256 size) private pure returns (uint256) {
        require(0 < size && size <= MAX_BATCH, BatchSizeOutOfBounds(size));
        return size;
    }

    /// @dev Who agrees to all of `documents`.
    function _sidesOf(
        bytes32[] memory documents,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) private view returns (Sides memory sides) {
        bytes32 digest = _hashTypedDataV4(HashLib.hashBatch(documents));
        sides.sender = msg.sender;
        sides.renterSent = renterSignature.length == 0;
        sides.renter = sides.renterSent ? msg.sender : ConsentLib.signerOf(digest, renterSignature);
        require(sides.renter != address(0), RenterConsentMissing());
        sides.providerSent = providerSignature.length == 0;
        sides.provider =
            sides.providerSent ? msg.sender : ConsentLib.signerOf(digest, providerSignature);
        require(sides.provider != address(0), ProviderConsentMissing());
    }

    function _requireRenter(Terms calldata terms, Sides calldata sides) private pure {
        bool agrees =
            sides.renter == terms.renterKey || (sides.renterSent && sides.renter == terms.renter);
        require(agrees, RenterConsentMissing());
    }

    function _requireProvider(Terms calldata terms, Sides calldata sides) private pure {
        bool agrees = sides.provider == terms.providerKey
            || (sides.providerSent && sides.provider == terms.provider);
        require(agrees, ProviderConsentMissing());
    }

    /* CHECKS */

    function _requireOpenable(Terms calldata terms, bytes32 id) private view {
        State state = _deals[id].state;
        require(state == State.None, WrongState(state));
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
    }

    /// @dev The network takes these terms at present.
    function _requireAdmitted(Terms calldata terms) private view {
        Admission memory admission = IPlaza(plaza).admission(terms.token);
        require(admission.escrow == address(this), NotPresentEscrow(admission.escrow));
        require(!admission.paused, OpensPaused());
        require(admission.listed, TokenNotListed(terms.token));
        require(admission.feeBps == terms.feeBps, FeeNotPresent(admission.feeBps));
        require(
            IProviders(providers).isAuthorised(terms.provider, terms.providerKey),
            KeyNotAuthorised(terms.provider, terms.providerKey)
        );
    }

    /// @dev The deal may be settled at this terminal receipt if both sides agree.
    function _requireSettleable(Terms calldata terms, Receipt calldata receipt)
        private
        view
        returns (bytes32 id, uint96 locked)
    {
        id = dealId(terms);
        State state = _deals[id].state;
        locked = _deals[id].locked;
        require(
            state == State.Open || state == State.Stopped || state == State.Claimed,
            WrongState(state)
        );
        require(receipt.outcome != Outcome.Running, WrongOutcome(receipt.outcome));
        _requireWithinBounds(terms, receipt, locked, id);
        bool free = receipt.outcome == Outcome.ProviderFault && receipt.elapsed < FREE_FAULT;
        require(!free || receipt.amount == 0, EarlyFaultIsFree(receipt.amount));
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
        return signature.length == 0
            ? _isRenter(terms, msg.sender)
            : ConsentLib.isBy(terms.renterKey, digest, signature);
    }

    function _providerAgrees(Terms calldata terms, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        return signature.length == 0
            ? _isProvider(terms, msg.sender)
            : ConsentLib.isBy(terms.providerKey, digest, signature);
    }

    function _isRenter(Terms calldata terms, address account) private pure returns (bool) {
        return account != address(0) && (account == terms.renter || account == terms.renterKey);
    }

    function _isProvider(Terms calldata terms, address account) private pure returns (bool) {
        return account == terms.provider || account == terms.providerKey;
    }

    /// @dev Who may open with the renter's balance, keep from opening, and top up.
    function _isSpender(Terms calldata terms, address account) private pure returns (bool) {
        return account != address(0)
            && (account == terms.renter || (terms.session != 0 && account == terms.renterKey));
    }

    /// @dev Who signed an intent that may still be sent, or zero.
    function _signerOf(bytes32 structHash, Intent calldata intent, bytes calldata signature)
        private
        view
        returns (address)
    {
        _requireTimely(intent);
        return ConsentLib.signerOf(_hashTypedDataV4(structHash), signature);
    }

    /// @dev The renter pays what it signed for itself; its key cannot make it pay.
    function _payFeeOf(Terms calldata terms, address signer, uint96 fee) private {
        require(fee == 0 || signer == terms.renter, KeyPaysNoFee(fee));
        _payFee(terms.token, terms.renter, fee);
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

    function _open(Terms calldata terms, bytes32 id, address sender) private {
        _deals[id] = Deal({locked: terms.cap, floor: 0, until: 0, extra: 0, state: State.Open});
        if (terms.openFee != 0) balanceOf[terms.token][sender] += terms.openFee;
    }

    function _openInSession(
        Terms calldata terms,
        bytes32 id,
        Session calldata session,
        bytes32 sessionId_,
        address sender
    ) private {
        require(
            terms.session == sessionId_ && terms.renter == session.renter
                && terms.renterKey == session.key && terms.token == session.token,
            WrongSession(terms.session)
        );
        require(
            terms.ratePerHour <= session.maxRatePerHour,
            AboveSessionRate(terms.ratePerHour, session.maxRatePerHour)
        );

        uint256 escrowed = _escrowed(terms);
        _useByKey(session, sessionId_, escrowed);
        _debit(terms.token, terms.renter, escrowed);
        _open(terms, id, sender);
        emit Opened(id, terms.renter, terms.provider, sender, false, terms);
    }

    function _cancel(Terms calldata terms, bytes32 id) private {
        State state = _deals[id].state;
        require(state == State.None, WrongState(state));

        _deals[id].state = State.Cancelled;

        emit Cancelled(id, terms.renter, terms.provider);
    }

    function _topUp(Terms calldata terms, bytes32 id, uint96 amount) private {
        Deal storage deal = _deals[id];
        require(deal.state == State.Open, WrongState(deal.state));
        require(block.timestamp < terms.expiry, TooLate(terms.expiry));
        require(IPlaza(plaza).pausedUntil() <= block.timestamp, OpensPaused());

        _debit(terms.token, terms.renter, amount);
        deal.locked += amount;

        emit ToppedUp(id, amount, deal.locked);
    }

    function _stop(Terms calldata terms, bytes32 id, address account) private {
        Deal memory deal = _deals[id];
        require(deal.state == State.Open, WrongState(deal.state));
        require(_isRenter(terms, account), RenterConsentMissing());

        deal.state = State.Stopped;
        deal.until = _windowEnd();
        _deals[id] = deal;

        emit Stopped(id, deal.until);
    }

    function _contest(Terms calldata terms, bytes32 id, address account) private {
        Deal memory deal = _deals[id];
        require(deal.state == State.Claimed, WrongState(deal.state));
        require(block.timestamp < deal.until, TooLate(deal.until));
        require(_isRenter(terms, account), RenterConsentMissing());

        _settleByExit(terms, id, deal.locked, deal.floor);
    }

    /// @dev Settle at an amount that no terminal receipt states.
    function _settleByExit(Terms calldata terms, bytes32 id, uint96 locked, uint96 amount) private {
        _settle(terms, id, locked, Receipt(id, amount, 0, Outcome.Running, 0, 0), msg.sender);
    }

    /// @dev The slot keeps only its state, as a tombstone. Assumes amount <= locked.
    function _settle(
        Terms calldata terms,
        bytes32 id,
        uint96 locked,
        Receipt memory last,
        address sender
    ) private {
        (uint96 paid, uint96 fee, uint96 refund) =
            ChargeLib.splitDown(last.amount, locked, terms.feeBps);

        _deals[id] = Deal({locked: 0, floor: 0, until: 0, extra: 0, state: State.Settled});
        mapping(address => uint256) storage balances = balanceOf[terms.token];
        if (paid != 0) balances[terms.provider] += paid;
        if (fee != 0) fees[terms.token] += fee;
        if (refund != 0) balances[terms.renter] += refund;
        if (terms.closeFee != 0) balances[sender] += terms.closeFee;
        if (terms.session != 0) _unuse(terms.session, refund);

        emit Settled(
            id, sender, paid, fee, refund, last.elapsed, last.outcome, last.result, last.meter
        );
    }

    /// @dev What leaves the renter's side at open.
    function _escrowed(Terms calldata terms) private pure returns (uint256) {
        return uint256(terms.cap) + terms.openFee + terms.closeFee;
    }
}
