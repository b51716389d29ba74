// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Escrow} from "../src/Escrow.sol";
import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {ChargeLib} from "../src/libraries/ChargeLib.sol";
import {Deal, Outcome, Receipt, State, Terms} from "../src/types/Deal.sol";
import {Intent} from "../src/types/Intent.sol";
import {Session, SessionUse} from "../src/types/Session.sol";

/// @dev Proofs about the Escrow, for halmos; these are the cheat codes that they use.
interface Cheats {
    function assume(bool condition) external pure;
    function warp(uint256 time) external;
    function prank(address sender) external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function load(address target, bytes32 slot) external view returns (bytes32);
}

Cheats constant cheats = Cheats(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

/// @dev A network that admits everything, so that what follows is about the Escrow alone.
contract OpenGate {
    function pausedUntil() external pure returns (uint40) {
        return 0;
    }
}

/// @dev Proofs for all numbers at once, by halmos (`npm run prove`): the arithmetic of settlements,
/// and each step of the table that needs no signature, from any slot that a deal can be in. The
/// slots are written straight into the contract's storage, whose layout the first proof checks.
contract Proofs {
    uint40 private constant WINDOW = 10 minutes;
    uint40 private constant LEAD = 90;

    // `forge inspect Escrow storageLayout`
    uint256 private constant BALANCES = 2;
    uint256 private constant FEES = 3;
    uint256 private constant SESSIONS = 5;
    uint256 private constant DEALS = 6;

    Escrow private escrow;

    function setUp() public {
        escrow = new Escrow(address(new OpenGate()), address(0), WINDOW, LEAD);
    }

    /* ARITHMETIC */

    /// @dev C1: paid + fee + refund = locked, for every amount, lock and fee.
    function check_C1_split_conserves(uint96 amount, uint96 locked, uint16 feeBps) public pure {
        cheats.assume(amount <= locked && feeBps <= 10_000);
        (uint96 paid, uint96 fee, uint96 refund) = ChargeLib.splitDown(amount, locked, feeBps);
        assert(uint256(paid) + fee + refund == locked);
        assert(uint256(paid) + fee == amount);
    }

    /// @dev C1: the fee is rounded down, by less than one unit.
    function check_C1_fee_is_rounded_down(uint96 amount, uint16 feeBps) public pure {
        cheats.assume(feeBps <= 10_000);
        (, uint96 fee,) = ChargeLib.splitDown(amount, amount, feeBps);
        uint256 exact = uint256(amount) * feeBps;
        assert(uint256(fee) * 10_000 <= exact);
        assert(exact < (uint256(fee) + 1) * 10_000);
    }

    /// @dev B1: the charge is rounded down, by less than one unit.
    function check_B1_charge_is_rounded_down(uint96 rate, uint40 elapsed) public pure {
        uint256 charge = ChargeLib.chargeDown(rate, elapsed);
        uint256 exact = uint256(rate) * elapsed;
        assert(charge * 3600 <= exact && exact < (charge + 1) * 3600);
    }

    /// @dev B1: more seconds never cost less.
    function check_B1_charge_is_monotone(uint96 rate, uint40 elapsed, uint40 more) public pure {
        cheats.assume(elapsed <= more);
        assert(ChargeLib.chargeDown(rate, elapsed) <= ChargeLib.chargeDown(rate, more));
    }

    /* STEPS: from any slot, by any sender, at any time */

    function check_layout() public {
        Deal memory deal = Deal(5, 4, 3, 2, State.Claimed);
        Terms memory terms;
        put(escrow.dealId(terms), deal);
        assert(same(escrow.deals(escrow.dealId(terms)), deal));
        SessionUse memory use = SessionUse(7, true, false);
        putUse("session", use);
        SessionUse memory found = escrow.sessions("session");
        assert(found.used == 7 && found.granted && !found.revoked);
        cheats.store(address(escrow), balanceSlot(address(1), address(2)), bytes32(uint256(9)));
        assert(escrow.balanceOf(address(1), address(2)) == 9);
    }

    /// @dev M6: finalize does what the table says or nothing, from every slot at every time.
    function check_M6_finalize(Deal memory deal, uint40 time) public {
        Terms memory terms = someTerms(0);
        bool done = step(terms, deal, time, abi.encodeCall(IEscrow.finalize, (terms)));
        bool windowed = deal.state == State.Stopped || deal.state == State.Claimed;
        assert(done == (windowed && deal.until <= time));
        assert(same(slot(terms), done ? tombstone() : deal));
    }

    function check_M6_expire(Deal memory deal, uint40 time) public {
        Terms memory terms = someTerms(0);
        bool done = step(terms, deal, time, abi.encodeCall(IEscrow.expire, (terms)));
        uint256 deadline = uint256(terms.expiry) + terms.grace + WINDOW;
        assert(done == (deal.state == State.Open && deadline <= time));
        assert(same(slot(terms), done ? tombstone() : deal));
    }

    function check_M6_stop(Deal memory deal, uint40 time, address sender) public {
        Terms memory terms = someTerms(0);
        bool done = step(terms, deal, time, sender, abi.encodeCall(IEscrow.stop, (terms)));
        bool side = sender == terms.renter || sender == terms.renterKey;
        assert(done == (deal.state == State.Open && side));
        if (done) (deal.state, deal.until) = (State.Stopped, time + WINDOW);
        assert(same(slot(terms), deal));
    }

    function check_M6_claimFloor(Deal memory deal, uint40 time, address sender) public {
        Terms memory terms = someTerms(0);
        bool done = step(terms, deal, time, sender, abi.encodeCall(IEscrow.claimFloor, (terms)));
        bool side = sender == terms.provider || sender == terms.providerKey;
        uint256 deadline = uint256(terms.expiry) + terms.grace + WINDOW;
        bool open = deal.state == State.Open && time < deadline;
        bool stopped = deal.state == State.Stopped && time < deal.until;
        assert(done == (side && (open || stopped)));
        if (done) (deal.state, deal.until) = (State.Claimed, time + WINDOW);
        assert(same(slot(terms), deal));
    }

    function check_M6_contest(Deal memory deal, uint40 time, address sender) public {
        Terms memory terms = someTerms(0);
        bool done = step(terms, deal, time, sender, abi.encodeCall(IEscrow.contest, (terms)));
        bool side = sender == terms.renter || sender == terms.renterKey;
        assert(done == (deal.state == State.Claimed && time < deal.until && side));
        assert(same(slot(terms), done ? tombstone() : deal));
    }

    function check_M7_cancel(Deal memory deal, uint40 time, address sender) public {
        Terms memory terms = someTerms(0);
        bool done = step(terms, deal, time, sender, abi.encodeCall(IEscrow.cancel, (terms)));
        assert(done == (deal.state == State.None && sender == terms.renter));
        if (done) deal.state = State.Cancelled;
        assert(same(slot(terms), deal));
    }

    /// @dev Settle sent by an account that is both sides: the receipt's bounds alone decide.
    function check_B1_C1_settle(Deal memory deal, uint40 time, Receipt memory receipt) public {
        Terms memory terms = someTerms(0);
        (terms.renter, terms.provider) = (address(this), address(this));
        receipt.deal = escrow.dealId(terms);
        bytes memory call = abi.encodeCall(IEscrow.settle, (terms, receipt, bytes(""), bytes("")));
        bool done = step(terms, deal, time, address(this), call);
        if (!done) return;
        assert(deal.state != State.None && uint8(deal.state) < uint8(State.Settled));
        assert(receipt.outcome != Outcome.Running && receipt.amount <= deal.locked);
        assert(uint256(receipt.amount) * 3600 <= uint256(terms.ratePerHour) * receipt.elapsed);
        assert(same(slot(terms), tombstone()));
        uint256 kept = escrow.balanceOf(terms.token, address(this)) + escrow.fees(terms.token);
        assert(kept == uint256(deal.locked) + terms.closeFee);
    }

    /// @dev C1: what finalize gives out is what was locked and kept.
    function check_C1_finalize_pays_out_all(Deal memory deal, uint40 time) public {
        Terms memory terms = someTerms(0);
        if (!step(terms, deal, time, abi.encodeCall(IEscrow.finalize, (terms)))) return;
        uint256 paid = escrow.balanceOf(terms.token, terms.provider);
        uint256 refund = escrow.balanceOf(terms.token, terms.renter);
        uint256 sender = escrow.balanceOf(terms.token, address(0xcafe));
        assert(paid + refund + escrow.fees(terms.token) == deal.locked);
        assert(sender == terms.closeFee);
        assert(refund <= deal.locked - deal.floor);
    }

    /* SESSIONS */

    /// @dev U1: settling in a session gives back the refund and touches neither leave nor end.
    function check_U1_settling_gives_back_the_refund(
        Deal memory deal,
        uint40 time,
        SessionUse memory use
    ) public {
        Terms memory terms = someTerms("session");
        cheats.assume(use.used >= deal.locked);
        putUse("session", use);
        if (!step(terms, deal, time, abi.encodeCall(IEscrow.finalize, (terms)))) return;
        SessionUse memory found = escrow.sessions("session");
        uint256 refund = escrow.balanceOf(terms.token, terms.renter);
        assert(uint256(found.used) + refund == use.used);
        assert(found.granted == use.granted && found.revoked == use.revoked);
    }

    /// @dev U1, U2: the key's top-up uses what it locks and ends at or below the cap.
    function check_U2_key_stays_below_the_cap(
        Deal memory deal,
        uint40 time,
        SessionUse memory use,
        Session memory session,
        uint96 amount
    ) public {
        session.key = address(0xb0b);
        bytes32 id = escrow.sessionId(session);
        Terms memory terms = someTerms(id);
        putUse(id, use);
        cheats.store(
            address(escrow), balanceSlot(terms.token, terms.renter), bytes32(type(uint256).max / 2)
        );
        Intent memory none;
        bytes memory call =
            abi.encodeCall(IEscrow.topUpFor, (terms, amount, session, none, bytes("")));
        bool done = step(terms, deal, time, terms.renterKey, call);
        SessionUse memory found = escrow.sessions(id);
        if (!done) {
            assert(found.used == use.used);
            return;
        }
        assert(use.granted && !use.revoked && time < session.expiry);
        assert(found.used == uint256(use.used) + amount && found.used <= session.cap);
        assert(slot(terms).locked == uint256(deal.locked) + amount);
    }

    /* GETTING THERE */

    function someTerms(bytes32 session) private pure returns (Terms memory terms) {
        terms.renter = address(0xa11ce);
        terms.renterKey = address(0xb0b);
        terms.provider = address(0xd0d0);
        terms.providerKey = address(0xd0d1);
        terms.token = address(0x70ce);
        terms.session = session;
        terms.ratePerHour = 3_600_000;
        terms.feeBps = 300;
        terms.acceptBy = 1_800_000_030;
        terms.expiry = 1_800_003_630;
        terms.grace = 60;
        terms.closeFee = 900;
    }

    function step(Terms memory terms, Deal memory deal, uint40 time, bytes memory call)
        private
        returns (bool)
    {
        return step(terms, deal, time, address(0xcafe), call);
    }

    function step(
        Terms memory terms,
        Deal memory deal,
        uint40 time,
        address sender,
        bytes memory call
    ) private returns (bool done) {
        // Block time plus a window fits its 40 bits, and a floor is at most what is locked.
        cheats.assume(time < type(uint40).max - WINDOW && deal.floor <= deal.locked);
        cheats.assume(uint8(deal.state) <= uint8(type(State).max));
        cheats.assume(sender != address(0));
        put(escrow.dealId(terms), deal);
        cheats.warp(time);
        cheats.prank(sender);
        (done,) = address(escrow).call(call);
    }

    function slot(Terms memory terms) private view returns (Deal memory) {
        return escrow.deals(escrow.dealId(terms));
    }

    function tombstone() private pure returns (Deal memory) {
        return Deal(0, 0, 0, 0, State.Settled);
    }

    function put(bytes32 id, Deal memory deal) private {
        uint256 word = uint256(deal.locked) | uint256(deal.floor) << 96 | uint256(deal.until) << 192
            | uint256(deal.extra) << 232 | uint256(deal.state) << 248;
        cheats.store(address(escrow), keccak256(abi.encode(id, DEALS)), bytes32(word));
    }

    function putUse(bytes32 id, SessionUse memory use) private {
        uint256 word =
            uint256(use.used) | (use.granted ? 1 << 128 : 0) | (use.revoked ? 1 << 136 : 0);
        cheats.store(address(escrow), keccak256(abi.encode(id, SESSIONS)), bytes32(word));
    }

    function balanceSlot(address token, address account) private pure returns (bytes32) {
        bytes32 inner = keccak256(abi.encode(token, BALANCES));
        return keccak256(abi.encode(account, inner));
    }

    function same(Deal memory left, Deal memory right) private pure returns (bool) {
        return left.locked == right.locked && left.floor == right.floor && left.until == right.until
            && left.extra == right.extra && left.state == right.state;
    }
}
