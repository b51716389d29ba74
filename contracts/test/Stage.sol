// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {IPlaza} from "../src/interfaces/IPlaza.sol";
import {IProviders} from "../src/interfaces/IProviders.sol";
import {Closing, Opening} from "../src/types/Batch.sol";
import {Deal, LEASE, Outcome, Receipt, State, Terms} from "../src/types/Deal.sol";
import {Intent} from "../src/types/Intent.sol";
import {Grant, Session} from "../src/types/Session.sol";
import {ITestDollar} from "./ITestDollar.sol";
import {vm} from "./Vm.sol";

/// @dev A small network with one renter and one provider, for tests to play on. Digests are written
/// out here a second time, from the protocol's text and not from the contracts' libraries.
///
/// The contracts are deployed from out/, so that they alone go through the slow pipeline: run
/// `forge build` after changing them, as the scripts of package.json do.
abstract contract Stage {
    /* CONSTANTS OF THE NETWORK */

    uint40 internal constant NOW = 1_800_000_000;
    uint40 internal constant WINDOW = 10 minutes;
    uint40 internal constant LEAD = 90 seconds;
    uint16 internal constant FEE_BPS = 300;
    uint16 internal constant MAX_FEE_BPS = 500;

    /// @dev 1,000 base units a second, so that amounts can be read as seconds.
    uint96 internal constant RATE = 3_600_000;
    uint96 internal constant CAP = 2_000_000;
    uint96 internal constant OPEN_FEE = 700;
    uint96 internal constant CLOSE_FEE = 900;
    uint96 internal constant SESSION_CAP = 8_010_000;
    uint96 internal constant ESCROWED = CAP + OPEN_FEE + CLOSE_FEE;
    uint96 internal constant FUNDS = 100_000_000;
    uint40 internal constant ACCEPT_BY = NOW + 30;
    uint40 internal constant EXPIRY = ACCEPT_BY + 1 hours;
    uint16 internal constant GRACE = 60;
    uint40 internal constant DEADLINE = EXPIRY + GRACE + WINDOW;

    /* KEYS */

    uint256 internal constant OWNER = uint256(keccak256("owner"));
    uint256 internal constant RENTER = uint256(keccak256("renter"));
    uint256 internal constant RENTER_KEY = uint256(keccak256("renter key"));
    uint256 internal constant PROVIDER = uint256(keccak256("provider"));
    uint256 internal constant PROVIDER_KEY = uint256(keccak256("provider key"));
    uint256 internal constant STRANGER = uint256(keccak256("stranger"));

    address internal immutable owner = vm.addr(OWNER);
    address internal immutable renter = vm.addr(RENTER);
    address internal immutable renterKey = vm.addr(RENTER_KEY);
    address internal immutable provider = vm.addr(PROVIDER);
    address internal immutable providerKey = vm.addr(PROVIDER_KEY);
    address internal immutable stranger = vm.addr(STRANGER);
    address internal immutable treasury = address(uint160(uint256(keccak256("treasury"))));

    /* THE NETWORK */

    IPlaza internal plaza;
    IEscrow internal escrow;
    IProviders internal providers;
    ITestDollar internal dollar;

    function setUp() public virtual {
        vm.warp(NOW);
        plaza = deployPlaza(MAX_FEE_BPS, FEE_BPS);
        providers = IProviders(vm.deployCode("Providers.sol:Providers"));
        escrow = deployEscrow(WINDOW, LEAD);
        dollar = ITestDollar(vm.deployCode("TestDollar.sol:TestDollar", abi.encode(owner)));

        vm.prank(owner);
        plaza.setModule("escrow", address(escrow));
        vm.prank(owner);
        plaza.setModule("providers", address(providers));
        vm.prank(owner);
        plaza.setListed(address(dollar), true);
        authorise(PROVIDER, PROVIDER_KEY);
        fund(renter, FUNDS);
    }

    function deployPlaza(uint16 maxFeeBps, uint16 feeBps) internal returns (IPlaza) {
        bytes memory arguments =
            abi.encode(owner, keccak256("profile"), maxFeeBps, feeBps, treasury);
        return IPlaza(vm.deployCode("Plaza.sol:Plaza", arguments));
    }

    function deployEscrow(uint40 window, uint40 lead) internal returns (IEscrow) {
        bytes memory arguments = abi.encode(plaza, providers, window, lead);
        return IEscrow(vm.deployCode("Escrow.sol:Escrow", arguments));
    }

    /// @dev `account` has `amount` more inside the escrow.
    function fund(address account, uint256 amount) internal {
        give(account, amount);
        vm.prank(account);
        dollar.approve(address(escrow), amount);
        vm.prank(account);
        escrow.deposit(address(dollar), account, amount);
    }

    /// @dev `account` has `amount` more in its wallet.
    function give(address account, uint256 amount) internal {
        vm.prank(owner);
        dollar.mint(account, amount);
    }

    function authorise(uint256 account, uint256 key) internal {
        bytes32 digest = providers.authorisation(vm.addr(account), vm.addr(key));
        vm.prank(vm.addr(account));
        providers.register(vm.addr(key), sign(key, digest));
    }

    /* DOCUMENTS */

    function someTerms() internal view returns (Terms memory) {
        return Terms({
            renter: renter,
            provider: provider,
            renterKey: renterKey,
            providerKey: providerKey,
            session: 0,
            token: address(dollar),
            cap: CAP,
            ratePerHour: RATE,
            feeBps: FEE_BPS,
            kind: LEASE,
            acceptBy: ACCEPT_BY,
            expiry: EXPIRY,
            grace: GRACE,
            gateway: stranger,
            openFee: OPEN_FEE,
            closeFee: CLOSE_FEE,
            nonce: 1,
            spec: keccak256("spec")
        });
    }

    function receiptOf(Terms memory terms, uint96 amount, uint40 elapsed, Outcome outcome)
        internal
        view
        returns (Receipt memory)
    {
        return Receipt({
            deal: escrow.dealId(terms),
            amount: amount,
            elapsed: elapsed,
            outcome: outcome,
            result: outcome == Outcome.Running ? bytes32(0) : keccak256("result"),
            meter: keccak256(abi.encode("meter", elapsed))
        });
    }

    /// @dev A running receipt that charges all of its seconds.
    function running(Terms memory terms, uint40 elapsed) internal view returns (Receipt memory) {
        return receiptOf(terms, elapsed * 1_000, elapsed, Outcome.Running);
    }

    /// @dev A terminal receipt that charges all of its seconds.
    function completed(Terms memory terms, uint40 elapsed) internal view returns (Receipt memory) {
        return receiptOf(terms, elapsed * 1_000, elapsed, Outcome.Completed);
    }

    /// @dev A session with room for four deals of `someTerms` and a little more.
    function someSession() internal view returns (Session memory) {
        return Session({
            renter: renter,
            key: renterKey,
            token: address(dollar),
            cap: SESSION_CAP,
            maxRatePerHour: RATE,
            expiry: NOW + 1 days,
            salt: keccak256("salt")
        });
    }

    function termsIn(Session memory session, uint64 nonce)
        internal
        view
        returns (Terms memory terms)
    {
        terms = someTerms();
        (terms.session, terms.nonce) = (escrow.sessionId(session), nonce);
    }

    /// @dev A session with its renter's signature.
    function grantOf(Session memory session) internal view returns (Grant memory) {
        return Grant(session, sign(RENTER, sessionDigest(session)));
    }

    /// @dev A session that the escrow has seen the signature of.
    function granted(Session memory session) internal pure returns (Grant memory) {
        return Grant(session, "");
    }

    /* DIGESTS */

    function domainOf(string memory name, address verifying) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256(bytes(name)),
                keccak256("1"),
                block.chainid,
                verifying
            )
        );
    }

    function digestIn(bytes32 domain, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function structHashOf(Receipt memory receipt) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Receipt(bytes32 deal,uint96 amount,uint40 seconds,uint8 outcome,bytes32 result,bytes32 meter)"
                ),
                receipt
            )
        );
    }

    function digestOf(Receipt memory receipt) internal view returns (bytes32) {
        return digestIn(domainOf("Plaza", address(escrow)), structHashOf(receipt));
    }

    /// @dev What `intent` of a kind that names only a deal or session asks to be signed.
    function intentDigest(string memory name, bytes32 about, Intent memory intent)
        internal
        view
        returns (bytes32)
    {
        string memory kind = string.concat(name, ",uint64 nonce,uint40 deadline,uint96 fee)");
        return digestIn(
            domainOf("Plaza", address(escrow)),
            keccak256(abi.encode(keccak256(bytes(kind)), about, intent))
        );
    }

    function stopDigest(bytes32 id) internal view returns (bytes32) {
        return intentDigest("Stop(bytes32 deal", id, freely());
    }

    function contestDigest(bytes32 id) internal view returns (bytes32) {
        return intentDigest("Contest(bytes32 deal", id, freely());
    }

    /// @dev What an intent carries that may be sent for ever and for nothing.
    function freely() internal pure returns (Intent memory) {
        return Intent({nonce: 0, deadline: type(uint40).max, fee: 0});
    }

    function topUpDigest(bytes32 id, uint96 amount, Intent memory intent)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            "TopUp(bytes32 deal,uint96 amount,uint64 nonce,uint40 deadline,uint96 fee)"
        );
        bytes32 domain = domainOf("Plaza", address(escrow));
        return digestIn(domain, keccak256(abi.encode(kind, id, amount, intent)));
    }

    function withdrawDigest(address account, uint256 amount, address to, Intent memory intent)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            "Withdraw(address account,address token,uint256 amount,address to,uint64 nonce,uint40 deadline,uint96 fee)"
        );
        bytes32 domain = domainOf("Plaza", address(escrow));
        return digestIn(domain, keccak256(abi.encode(kind, account, dollar, amount, to, intent)));
    }

    function sessionDigest(Session memory session) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "Session(address renter,address key,address token,uint96 cap,uint96 maxRatePerHour,uint40 expiry,bytes32 salt)"
        );
        return digestIn(domainOf("Plaza", address(escrow)), keccak256(abi.encode(kind, session)));
    }

    function batchDigest(bytes32[] memory documents) internal view returns (bytes32) {
        bytes memory packed;
        for (uint256 i = 0; i < documents.length; ++i) {
            packed = bytes.concat(packed, documents[i]);
        }
        bytes32 kind = keccak256("Batch(bytes32[] documents)");
        return digestIn(
            domainOf("Plaza", address(escrow)), keccak256(abi.encode(kind, keccak256(packed)))
        );
    }

    function batchDigest(Opening[] memory openings) internal view returns (bytes32) {
        bytes32[] memory ids = new bytes32[](openings.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = escrow.dealId(openings[i].terms);
        }
        return batchDigest(ids);
    }

    function batchDigest(Closing[] memory closings) internal view returns (bytes32) {
        bytes32[] memory digests = new bytes32[](closings.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            digests[i] = digestOf(closings[i].receipt);
        }
        return batchDigest(digests);
    }

    function receiveDigest(
        address token,
        address from,
        uint256 value,
        uint256 validBefore,
        bytes32 nonce
    ) internal view returns (bytes32) {
        return receiveDigest(token, from, address(escrow), value, validBefore, nonce);
    }

    function receiveDigest(
        address token,
        address from,
        address to,
        uint256 value,
        uint256 validBefore,
        bytes32 nonce
    ) internal view returns (bytes32) {
        return digestIn(
            domainOf("Test Dollar", token),
            keccak256(
                abi.encode(
                    keccak256(
                        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                    ),
                    from,
                    to,
                    value,
                    0,
                    validBefore,
                    nonce
                )
            )
        );
    }

    /* SIGNATURES */

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function sign(uint256 key, Terms memory terms) internal view returns (bytes memory) {
        return sign(key, escrow.dealId(terms));
    }

    function sign(uint256 key, Receipt memory receipt) internal view returns (bytes memory) {
        return sign(key, digestOf(receipt));
    }

    /// @dev The renter's consent to `terms` by ERC-3009.
    function authorization(Terms memory terms) internal view returns (bytes memory) {
        uint256 value = uint256(terms.cap) + terms.openFee + terms.closeFee;
        uint256 validBefore = uint256(terms.acceptBy) + 1;
        bytes32 id = escrow.dealId(terms);
        return sign(RENTER, receiveDigest(terms.token, terms.renter, value, validBefore, id));
    }

    /* MOVES: by a stranger, with every signature */

    function doOpen(Terms memory terms) internal returns (bytes32 id) {
        id = escrow.dealId(terms);
        bytes memory renterSays = sign(RENTER, id);
        bytes memory providerSays = sign(PROVIDER_KEY, id);
        vm.prank(stranger);
        escrow.open(terms, renterSays, providerSays);
    }

    function doOpenIn(Grant memory grant, Terms memory terms) internal returns (bytes32 id) {
        id = escrow.dealId(terms);
        bytes memory renterSays = sign(RENTER_KEY, id);
        bytes memory providerSays = sign(PROVIDER_KEY, id);
        vm.prank(stranger);
        escrow.openInSession(terms, grant, renterSays, providerSays);
    }

    function doOpenBatch(Opening[] memory openings, Grant[] memory grants) internal {
        bytes32 digest = batchDigest(openings);
        bytes memory renterSays = sign(RENTER_KEY, digest);
        bytes memory providerSays = sign(PROVIDER_KEY, digest);
        vm.prank(stranger);
        escrow.openBatch(openings, grants, renterSays, providerSays);
    }

    function doSettleBatch(Closing[] memory closings) internal {
        bytes32 digest = batchDigest(closings);
        bytes memory renterSays = sign(RENTER_KEY, digest);
        bytes memory providerSays = sign(PROVIDER_KEY, digest);
        vm.prank(stranger);
        escrow.settleBatch(closings, renterSays, providerSays);
    }

    function doPresent(Terms memory terms, Receipt memory receipt) internal {
        bytes memory renterSays = sign(RENTER_KEY, receipt);
        bytes memory providerSays = sign(PROVIDER_KEY, receipt);
        vm.prank(stranger);
        escrow.present(terms, receipt, renterSays, providerSays);
    }

    function doStop(Terms memory terms) internal {
        bytes memory renterSays = sign(RENTER_KEY, stopDigest(escrow.dealId(terms)));
        vm.prank(stranger);
        escrow.stopFor(terms, freely(), renterSays);
    }

    function doClaim(Terms memory terms, Receipt memory receipt, uint16 extra) internal {
        bytes memory renterSays = sign(RENTER_KEY, receipt);
        vm.prank(provider);
        escrow.claim(terms, receipt, renterSays, "", extra);
    }

    function doClaimFloor(Terms memory terms) internal {
        vm.prank(provider);
        escrow.claimFloor(terms);
    }

    function doSettle(Terms memory terms, Receipt memory receipt) internal {
        bytes memory renterSays = sign(RENTER_KEY, receipt);
        bytes memory providerSays = sign(PROVIDER_KEY, receipt);
        vm.prank(stranger);
        escrow.settle(terms, receipt, renterSays, providerSays);
    }

    function doContest(Terms memory terms) internal {
        bytes memory renterSays = sign(RENTER_KEY, contestDigest(escrow.dealId(terms)));
        vm.prank(stranger);
        escrow.contestFor(terms, freely(), renterSays);
    }

    function doFinalize(Terms memory terms) internal {
        vm.prank(stranger);
        escrow.finalize(terms);
    }

    function doExpire(Terms memory terms) internal {
        vm.prank(stranger);
        escrow.expire(terms);
    }

    /* WHAT HOLDS */

    function balance(address account) internal view returns (uint256) {
        return escrow.balanceOf(address(dollar), account);
    }

    function stateOf(Terms memory terms) internal view returns (State) {
        return escrow.deals(escrow.dealId(terms)).state;
    }

    function slotOf(Terms memory terms) internal view returns (Deal memory) {
        return escrow.deals(escrow.dealId(terms));
    }

    function assertState(Terms memory terms, State wanted) internal view {
        vm.assertEq(uint256(stateOf(terms)), uint256(wanted), "state");
    }

    function usedOf(Session memory session) internal view returns (uint256) {
        return escrow.sessions(escrow.sessionId(session)).used;
    }

    /// @dev A deal that `doOpen` opened and a stranger ended, with `locked` in it, at `amount`: the
    /// only one so far, so every balance is known.
    function assertSettledAt(Terms memory terms, uint256 amount) internal view {
        uint256 fee = amount * FEE_BPS / 10_000;
        uint256 senders = uint256(terms.openFee) + terms.closeFee;
        Deal memory slot = slotOf(terms);
        vm.assertEq(uint256(slot.state), uint256(State.Settled), "M7 state");
        vm.assertEq(uint256(slot.locked) + slot.floor + slot.until + slot.extra, 0, "M7 tombstone");
        vm.assertEq(balance(provider), amount - fee, "C1 paid");
        vm.assertEq(escrow.fees(address(dollar)), fee, "C1 fee");
        vm.assertEq(balance(renter), FUNDS - amount - senders, "C1 refund");
        vm.assertEq(balance(stranger), senders, "C1 openFee and closeFee");
        vm.assertEq(dollar.balanceOf(address(escrow)), FUNDS, "S1 nothing came or left");
    }
}
