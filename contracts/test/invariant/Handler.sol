// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ISessions} from "../../src/interfaces/ISessions.sol";
import {Closing, Opening} from "../../src/types/Batch.sol";
import {Deal, LEASE, Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Intent} from "../../src/types/Intent.sol";
import {Grant, Session, SessionUse} from "../../src/types/Session.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";
import {Model} from "./Model.sol";

/// @dev Makes random calls, good and bad, and knows from the model which must go through and what
/// they must do. Each call is made, never skipped for being wrong; an answer that differs from the
/// model's fails the run.
contract Handler is Stage {
    using Model for Deal;

    uint256 private constant MOST_DEALS = 10;
    uint256 private constant SECOND = uint256(keccak256("second renter"));
    uint256 private constant SELF_KEY = uint256(keccak256("renter as provider"));

    Model.Windows private windows = Model.Windows(WINDOW, LEAD);
    uint40 private clock = NOW;
    bool private listed = true;
    bool private pointsHere = true;
    uint40 private pausedUntil;
    uint16 private feeBps = FEE_BPS;

    address[] public accounts;
    Session[] public openSessions;
    mapping(bytes32 id => uint256) public wantedUse;
    mapping(bytes32 id => bool) public wantedEnd;
    mapping(address account => mapping(uint64 nonce => bool)) private nonces;
    Terms[] private opened;
    mapping(bytes32 id => Deal) private slots;
    mapping(address account => uint256) public wanted;
    uint256 public wantedFees;

    // What settlements released and where it went, as the contract tells it.
    uint256 public released;
    uint256 public credited;
    uint256 public donated;

    /// @dev How often a call went through, and how often it was refused.
    mapping(bytes4 call => mapping(bool done => uint256)) public times;

    function setUp() public override {
        super.setUp();
        authorise(RENTER, SELF_KEY);
        fund(vm.addr(SECOND), FUNDS);
        accounts = [renter, vm.addr(SECOND), provider, stranger];
        (wanted[renter], wanted[vm.addr(SECOND)]) = (FUNDS, FUNDS);
        for (uint256 i = 0; i < 3; ++i) {
            openSessions.push(
                Session({
                    renter: i == 1 ? vm.addr(SECOND) : renter,
                    key: renterKey,
                    token: address(dollar),
                    cap: uint96(4_000_000 * (i + 1)),
                    maxRatePerHour: 5_000_000,
                    expiry: NOW + 40 hours,
                    salt: bytes32(i)
                })
            );
        }
    }

    /* BALANCES */

    function deposit(uint256 seed) external atClock {
        address account = accounts[draw(seed, "account", 3)];
        uint256 amount = draw(seed, "amount", 1_000_000);
        give(stranger, amount);
        vm.prank(stranger);
        dollar.approve(address(escrow), amount);
        bytes memory message = abi.encodeCall(IBalances.deposit, (address(dollar), account, amount));
        if (attempt(stranger, message, true)) wanted[account] += amount;
    }

    function withdraw(uint256 seed) external atClock {
        address account = accounts[draw(seed, "account", 3)];
        uint256 amount = draw(seed, "amount", wanted[account] + wanted[account] / 8);
        bytes memory message =
            abi.encodeCall(IBalances.withdraw, (address(dollar), account, amount));
        if (attempt(account, message, amount <= wanted[account])) wanted[account] -= amount;
    }

    function withdrawFor(uint256 seed) external atClock {
        address account = accounts[draw(seed, "account", 1)];
        uint256 amount = draw(seed, "amount", wanted[account] / 4);
        Intent memory intent = drawIntent(seed);
        bytes memory says =
            sign(secretOf(account), withdrawDigest(account, amount, account, intent));
        bool allowed = !nonces[account][intent.nonce] && clock <= intent.deadline
            && amount + intent.fee <= wanted[account];
        bytes memory message = abi.encodeCall(
            IBalances.withdrawFor, (account, address(dollar), amount, account, intent, says)
        );
        if (!attempt(stranger, message, allowed)) return;
        nonces[account][intent.nonce] = true;
        wanted[account] -= amount + intent.fee;
        wanted[stranger] += intent.fee;
    }

    function collect() external atClock {
        if (attempt(stranger, abi.encodeCall(IBalances.collect, (address(dollar))), true)) {
            wantedFees = 0;
        }
    }

    function donate(uint256 seed) external atClock {
        uint256 amount = draw(seed, "amount", 1_000);
        give(address(escrow), amount);
        donated += amount;
    }

    /* OPENING */

    function open(uint256 seed) external atClock {
        if (opened.length == MOST_DEALS) return;
        Terms memory t = drawTerms(seed);
        bytes32 id = escrow.dealId(t);
        uint256 total = uint256(t.cap) + t.openFee + t.closeFee;
        bool pull = draw(seed, "pull", 1) == 1;
        bool opens = t.cap != 0 && t.acceptBy <= clock + LEAD && t.acceptBy < t.expiry
            && t.feeBps == feeBps && listed && pointsHere && pausedUntil <= clock;
        bytes memory bid = sign(t.provider == renter ? SELF_KEY : PROVIDER_KEY, id);
        bytes memory message;
        if (pull) {
            give(t.renter, total);
            bytes32 digest =
                receiveDigest(address(dollar), t.renter, total, uint256(t.acceptBy) + 1, id);
            bytes memory consent = sign(secretOf(t.renter), digest);
            message = abi.encodeCall(IEscrow.openWithAuthorization, (t, consent, bid));
        } else {
            opens = opens && total <= wanted[t.renter];
            message = abi.encodeCall(IEscrow.open, (t, sign(secretOf(t.renter), id), bid));
        }
        if (!attempt(stranger, message, opens)) return;
        if (!pull) wanted[t.renter] -= total;
        wanted[stranger] += t.openFee;
        slots[id] = Deal(t.cap, 0, 0, 0, State.Open);
        opened.push(t);
    }

    function openInSession(uint256 seed) external atClock {
        if (opened.length == MOST_DEALS) return;
        (Terms memory t, Session memory session) = drawTermsInSession(seed);
        bytes32 id = escrow.dealId(t);
        bytes memory says = sign(RENTER_KEY, id);
        bytes memory bid = sign(t.provider == renter ? SELF_KEY : PROVIDER_KEY, id);
        Grant memory grant = Grant(session, sign(secretOf(t.renter), sessionDigest(session)));
        bytes memory message = abi.encodeCall(IEscrow.openInSession, (t, grant, says, bid));
        if (attempt(stranger, message, opensInSession(t, session))) noteOpened(t, id);
    }

    /// @dev Of two deals, each of which may fail alone; sometimes of the same one twice.
    function openBatch(uint256 seed) external atClock {
        if (opened.length + 2 > MOST_DEALS) return;
        Opening[] memory openings = new Opening[](2);
        Grant[] memory grants = new Grant[](2);
        bool twice = draw(seed, "twice", 3) == 0;
        for (uint256 i = 0; i < 2; ++i) {
            uint256 own = uint256(keccak256(abi.encode(seed, twice ? 0 : i)));
            (openings[i].terms, grants[i].session) = drawTermsInSession(own);
            (openings[i].terms.provider, openings[i].terms.providerKey) = (provider, providerKey);
            openings[i].grant = i;
            bytes32 digest = sessionDigest(grants[i].session);
            grants[i].signature = sign(secretOf(openings[i].terms.renter), digest);
        }
        bytes32 all = batchDigest(openings);
        bytes memory message = abi.encodeCall(
            IEscrow.openBatch, (openings, grants, sign(RENTER_KEY, all), sign(PROVIDER_KEY, all))
        );
        attempt(stranger, message, true);
        for (uint256 i = 0; i < 2; ++i) {
            Terms memory t = openings[i].terms;
            bytes32 id = escrow.dealId(t);
            bool opens = slots[id].state == State.None && opensInSession(t, grants[i].session);
            vm.assertEq(
                escrow.deals(id).state == State.Open, opens || slots[id].state == State.Open, "item"
            );
            if (opens) noteOpened(t, id);
        }
    }

    function revoke(uint256 seed) external atClock {
        if (draw(seed, "seldom", 3) != 0) return;
        Session memory session = openSessions[draw(seed, "session", 2)];
        bytes32 id = escrow.sessionId(session);
        bytes memory message = abi.encodeCall(ISessions.revoke, (session));
        if (attempt(session.renter, message, !wantedEnd[id])) wantedEnd[id] = true;
    }

    /// @dev M7: terms that were opened or cancelled once never open again.
    function openAgain(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        if (t.session != 0) {
            Grant memory grant = granted(sessionOf(t));
            bytes memory bid_ = sign(t.provider == renter ? SELF_KEY : PROVIDER_KEY, id);
            bytes memory says_ = sign(RENTER_KEY, id);
            attempt(stranger, abi.encodeCall(IEscrow.openInSession, (t, grant, says_, bid_)), false);
            return;
        }
        bytes memory bid = sign(t.provider == renter ? SELF_KEY : PROVIDER_KEY, id);
        bytes memory says = sign(secretOf(t.renter), id);
        attempt(stranger, abi.encodeCall(IEscrow.open, (t, says, bid)), false);
    }

    function cancel(uint256 seed) external atClock {
        if (opened.length == MOST_DEALS) return;
        Terms memory t = drawTerms(seed);
        if (!attempt(t.renter, abi.encodeCall(IEscrow.cancel, (t)), true)) return;
        slots[escrow.dealId(t)].state = State.Cancelled;
        opened.push(t);
    }

    function topUp(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        Deal memory d = slots[id];
        uint96 amount = uint96(draw(seed, "amount", 2_000_000));
        bool allowed = d.state == State.Open && clock < t.expiry && pausedUntil <= clock
            && amount <= wanted[t.renter] && !wantedEnd[t.session];
        if (!attempt(t.renter, abi.encodeCall(IEscrow.topUp, (t, amount)), allowed)) return;
        noteToppedUp(t, id, amount);
    }

    function topUpByKey(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        if (t.session == 0) return;
        Deal memory d = slots[id];
        Session memory session = sessionOf(t);
        uint96 amount = uint96(draw(seed, "amount", 2_000_000));
        bool allowed = d.state == State.Open && clock < t.expiry && pausedUntil <= clock
            && amount <= wanted[t.renter] && !wantedEnd[t.session] && clock < session.expiry
            && wantedUse[t.session] + amount <= session.cap;
        bytes memory message =
            abi.encodeCall(IEscrow.topUpFor, (t, amount, session, freely(), bytes("")));
        if (attempt(renterKey, message, allowed)) noteToppedUp(t, id, amount);
    }

    function noteToppedUp(Terms memory t, bytes32 id, uint96 amount) private {
        wanted[t.renter] -= amount;
        slots[id].locked += amount;
        if (t.session != 0) wantedUse[t.session] += amount;
    }

    /* WHILE OPEN */

    function present(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        Deal memory d = slots[id];
        Receipt memory r = drawReceipt(seed, t, d, Outcome.Running);
        (bytes memory a, bytes memory b, bool signed) = drawSignatures(seed, t, r);
        bool allowed =
            signed && d.takesReceipts(t, windows, clock) && d.within(t, windows, r, 0, clock);
        if (!attempt(stranger, abi.encodeCall(IEscrow.present, (t, r, a, b)), allowed)) return;
        if (r.amount > d.floor) slots[id].floor = r.amount;
    }

    /* EXITS */

    function stop(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        Deal storage d = slots[id];
        bytes memory says = sign(RENTER_KEY, stopDigest(id));
        bool allowed = d.state == State.Open;
        if (!attempt(stranger, abi.encodeCall(IEscrow.stopFor, (t, freely(), says)), allowed)) {
            return;
        }
        (d.state, d.until) = (State.Stopped, clock + WINDOW);
    }

    function claim(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        Deal memory d = slots[id];
        Receipt memory r = drawReceipt(seed, t, d, Outcome.Running);
        uint16 extra = uint16(draw(seed, "extra", uint256(t.grace) + 3));
        (bytes memory a, bytes memory b, bool signed) = drawSignatures(seed, t, r);
        bool allowed = signed && d.takesReceipts(t, windows, clock) && extra <= t.grace
            && d.within(t, windows, r, extra, clock) && r.amount >= d.floor;
        bytes memory message = abi.encodeCall(IEscrow.claim, (t, r, a, b, extra));
        if (!attempt(t.provider, message, allowed)) return;
        slots[id] = Deal(d.locked, r.amount, clock + WINDOW, extra, State.Claimed);
    }

    function claimFloor(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        Deal storage d = slots[id];
        bool allowed = d.takesReceipts(t, windows, clock);
        if (!attempt(t.provider, abi.encodeCall(IEscrow.claimFloor, (t)), allowed)) return;
        (d.state, d.until) = (State.Claimed, clock + WINDOW);
    }

    function settle(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        Deal memory d = slots[id];
        Receipt memory r = drawReceipt(seed, t, d, Outcome(draw(seed, "outcome", 5)));
        (bytes memory a, bytes memory b, bool signed) = drawSignatures(seed, t, r);
        bool allowed = signed && d.settles(t, windows, r, clock);
        attemptExit(t, id, abi.encodeCall(IEscrow.settle, (t, r, a, b)), allowed, r.amount);
    }

    /// @dev Of two deals; sometimes of the same one twice.
    function settleBatch(uint256 seed) external atClock {
        if (opened.length == 0) return;
        Closing[] memory closings = new Closing[](2);
        bytes32[2] memory ids;
        for (uint256 i = 0; i < 2; ++i) {
            uint256 own = uint256(keccak256(abi.encode(seed, i)));
            (closings[i].terms, ids[i]) = pick(own);
            Outcome outcome = Outcome(draw(own, "outcome", 5));
            closings[i].receipt = drawReceipt(own, closings[i].terms, slots[ids[i]], outcome);
        }
        bytes32 all = batchDigest(closings);
        bytes memory message = abi.encodeCall(
            IEscrow.settleBatch, (closings, sign(RENTER_KEY, all), sign(PROVIDER_KEY, all))
        );
        uint256 before = owedInside();
        attempt(stranger, message, true);
        uint256 due;
        for (uint256 i = 0; i < 2; ++i) {
            Terms memory t = closings[i].terms;
            Deal memory d = slots[ids[i]];
            bool settles =
                t.providerKey == providerKey && d.settles(t, windows, closings[i].receipt, clock);
            if (!settles) continue;
            due += uint256(d.locked) + t.closeFee;
            noteSettled(t, ids[i], closings[i].receipt.amount);
        }
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(
                uint256(escrow.deals(ids[i]).state), uint256(slots[ids[i]].state), "the item"
            );
        }
        released += due;
        credited += owedInside() - before;
    }

    function contest(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        Deal memory d = slots[id];
        bytes memory says = sign(RENTER_KEY, contestDigest(id));
        bool allowed = d.state == State.Claimed && clock < d.until;
        attemptExit(
            t, id, abi.encodeCall(IEscrow.contestFor, (t, freely(), says)), allowed, d.floor
        );
    }

    function finalize(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        tryFinalize(t, id);
    }

    function expire(uint256 seed) external atClock {
        if (opened.length == 0) return;
        (Terms memory t, bytes32 id) = pick(seed);
        tryExpire(t, id);
    }

    /* THE WORLD */

    function pass(uint256 seed) external atClock {
        uint256 most = draw(seed, "scale", 3) == 0 ? 2 hours : 60;
        clock += uint40(draw(seed, "step", most));
    }

    function changePolicy(uint256 seed) external atClock {
        uint256 what = draw(seed, "what", 4);
        vm.prank(owner);
        if (what == 0) {
            feeBps = uint16(draw(seed, "fee", MAX_FEE_BPS));
            plaza.setFee(feeBps);
        } else if (what == 1) {
            listed = draw(seed, "listed", 3) != 0;
            plaza.setListed(address(dollar), listed);
        } else if (what == 2) {
            pointsHere = draw(seed, "present", 3) != 0;
            plaza.setModule("escrow", pointsHere ? address(escrow) : stranger);
        } else if (what == 3) {
            uint40 left = clock < pausedUntil ? pausedUntil - clock : 0;
            uint40 duration = left + uint40(draw(seed, "pause", 60));
            pausedUntil = clock + duration;
            plaza.pauseOpens(duration);
        } else {
            pausedUntil = clock;
            plaza.resumeOpens();
        }
    }

    /* LEAVING */

    /// @dev L1: with everybody gone, a stranger ends every deal within the longest time it can take.
    function drain() external atClock {
        for (uint256 i = 0; i < opened.length; ++i) {
            if (Model.deadline(opened[i], windows) > clock) {
                clock = uint40(Model.deadline(opened[i], windows));
            }
            Deal memory d = slots[escrow.dealId(opened[i])];
            if (d.until > clock) clock = d.until;
        }
        vm.warp(clock);
        for (uint256 i = 0; i < opened.length; ++i) {
            bytes32 id = escrow.dealId(opened[i]);
            State state = slots[id].state;
            if (state == State.Open) tryExpire(opened[i], id);
            else if (state != State.Cancelled && state != State.Settled) tryFinalize(opened[i], id);
        }
        for (uint256 i = 0; i < accounts.length; ++i) {
            vm.prank(accounts[i]);
            escrow.withdraw(address(dollar), accounts[i], wanted[accounts[i]]);
            wanted[accounts[i]] = 0;
        }
        escrow.collect(address(dollar));
        wantedFees = 0;
    }

    /* READING */

    function count() external view returns (uint256) {
        return opened.length;
    }

    function deal(uint256 i) external view returns (Terms memory, Deal memory, Deal memory) {
        bytes32 id = escrow.dealId(opened[i]);
        return (opened[i], slots[id], escrow.deals(id));
    }

    /// @dev A session's use as it should be and as it is, and its cap.
    function useOf(uint256 i) external view returns (uint256, SessionUse memory, bytes32) {
        bytes32 id = escrow.sessionId(openSessions[i]);
        return (wantedUse[id], escrow.sessions(id), id);
    }

    function balanceInside(address account) external view returns (uint256) {
        return balance(account);
    }

    function feesInside() external view returns (uint256) {
        return escrow.fees(address(dollar));
    }

    function held() external view returns (uint256) {
        return dollar.balanceOf(address(escrow));
    }

    /* ATTEMPTS */

    function tryFinalize(Terms memory t, bytes32 id) private {
        Deal memory d = slots[id];
        bool allowed = (d.state == State.Stopped || d.state == State.Claimed) && d.until <= clock;
        attemptExit(t, id, abi.encodeCall(IEscrow.finalize, (t)), allowed, d.claimed(t));
    }

    function tryExpire(Terms memory t, bytes32 id) private {
        Deal memory d = slots[id];
        bool allowed = d.state == State.Open && Model.deadline(t, windows) <= clock;
        attemptExit(t, id, abi.encodeCall(IEscrow.expire, (t)), allowed, d.floor);
    }

    function attempt(address sender, bytes memory message, bool allowed)
        private
        returns (bool done)
    {
        vm.prank(sender);
        (done,) = address(escrow).call(message);
        vm.assertEq(done, allowed, "the model decides otherwise");
        ++times[bytes4(message)][done];
    }

    function attemptExit(
        Terms memory t,
        bytes32 id,
        bytes memory message,
        bool allowed,
        uint256 amount
    ) private {
        uint256 before = owedInside();
        if (!attempt(stranger, message, allowed)) return;
        released += uint256(slots[id].locked) + t.closeFee;
        credited += owedInside() - before;
        noteSettled(t, id, amount);
    }

    function noteSettled(Terms memory t, bytes32 id, uint256 amount) private {
        uint256 fee = amount * t.feeBps / 10_000;
        wanted[t.provider] += amount - fee;
        wantedFees += fee;
        wanted[t.renter] += slots[id].locked - amount;
        wanted[stranger] += t.closeFee;
        if (t.session != 0) wantedUse[t.session] -= slots[id].locked - amount;
        slots[id] = Deal(0, 0, 0, 0, State.Settled);
    }

    function owedInside() private view returns (uint256 sum) {
        for (uint256 i = 0; i < accounts.length; ++i) {
            sum += balance(accounts[i]);
        }
        sum += escrow.fees(address(dollar));
    }

    /* DRAWING */

    function drawTerms(uint256 seed) private view returns (Terms memory t) {
        t = someTerms();
        t.renter = draw(seed, "renter", 1) == 0 ? renter : vm.addr(SECOND);
        if (draw(seed, "self", 4) == 0) (t.provider, t.providerKey) = (renter, vm.addr(SELF_KEY));
        t.cap = uint96(draw(seed, "cap", 5_000_000));
        t.ratePerHour = uint96(draw(seed, "rate", 7_200_000));
        t.feeBps = draw(seed, "stale fee", 9) == 0 ? feeBps + 1 : feeBps;
        t.acceptBy = clock + uint40(draw(seed, "lead", LEAD + 5));
        t.expiry = t.acceptBy + uint40(draw(seed, "duration", 1 hours));
        t.grace = uint16(draw(seed, "grace", 300));
        t.openFee = uint96(draw(seed, "openFee", 1_000));
        t.closeFee = uint96(draw(seed, "closeFee", 1_000));
        t.kind = LEASE;
        t.nonce = uint64(opened.length);
        t.spec = bytes32(seed);
    }

    function drawTermsInSession(uint256 seed)
        private
        view
        returns (Terms memory t, Session memory session)
    {
        session = openSessions[draw(seed, "session", 2)];
        t = drawTerms(seed);
        (t.renter, t.session) = (session.renter, escrow.sessionId(session));
        t.cap = uint96(draw(seed, "cap", 3_000_000));
    }

    function drawIntent(uint256 seed) private view returns (Intent memory) {
        return Intent({
            nonce: uint64(draw(seed, "nonce", 9)),
            deadline: clock + 3 - uint40(draw(seed, "deadline", 4)),
            fee: uint96(draw(seed, "intent fee", 100))
        });
    }

    function sessionOf(Terms memory t) private view returns (Session memory session) {
        for (uint256 i = 0; i < 3; ++i) {
            session = openSessions[i];
            if (escrow.sessionId(session) == t.session) return session;
        }
    }

    /// @dev What the protocol says of opening in a session.
    function opensInSession(Terms memory t, Session memory session) private view returns (bool) {
        uint256 total = uint256(t.cap) + t.openFee + t.closeFee;
        return t.cap != 0 && t.acceptBy <= clock + LEAD && t.acceptBy < t.expiry
            && t.feeBps == feeBps && listed && pointsHere && pausedUntil <= clock
            && !wantedEnd[t.session] && clock < session.expiry
            && t.ratePerHour <= session.maxRatePerHour
            && wantedUse[t.session] + total <= session.cap && total <= wanted[t.renter];
    }

    function noteOpened(Terms memory t, bytes32 id) private {
        uint256 total = uint256(t.cap) + t.openFee + t.closeFee;
        wanted[t.renter] -= total;
        wanted[stranger] += t.openFee;
        wantedUse[t.session] += total;
        slots[id] = Deal(t.cap, 0, 0, 0, State.Open);
        opened.push(t);
    }

    /// @dev Around the bounds, on both sides of each.
    function drawReceipt(uint256 seed, Terms memory t, Deal memory d, Outcome outcome)
        private
        view
        returns (Receipt memory)
    {
        uint256 end = clock < t.expiry ? clock : t.expiry;
        uint256 most = end + LEAD > t.acceptBy ? end + LEAD - t.acceptBy : 0;
        uint40 elapsed = uint40(draw(seed, "elapsed", most + 1));
        uint256 charge = uint256(t.ratePerHour) * elapsed / 3600;
        uint256 top = charge < d.locked ? charge : d.locked;
        uint256 amount = draw(seed, "full", 2) == 0 ? top : draw(seed, "amount", top + top / 16);
        return receiptOf(t, uint96(amount), elapsed, outcome);
    }

    /// @dev Mostly the right ones; sometimes one side's is another's.
    function drawSignatures(uint256 seed, Terms memory t, Receipt memory r)
        private
        view
        returns (bytes memory renterSays, bytes memory providerSays, bool right)
    {
        uint256 theirKey = t.provider == renter ? SELF_KEY : PROVIDER_KEY;
        uint256 wrong = draw(seed, "wrong", 11);
        renterSays = sign(wrong == 0 ? STRANGER : RENTER_KEY, r);
        providerSays = sign(wrong == 1 ? STRANGER : theirKey, r);
        right = wrong > 1;
    }

    /// @dev A deal; mostly one that is not settled yet.
    function pick(uint256 seed) private view returns (Terms memory t, bytes32 id) {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 again = uint256(keccak256(abi.encode(seed, i)));
            t = opened[draw(again, "deal", opened.length - 1)];
            id = escrow.dealId(t);
            if (uint256(slots[id].state) < uint256(State.Settled)) return (t, id);
        }
    }

    function secretOf(address account) private view returns (uint256) {
        return account == renter ? RENTER : SECOND;
    }

    /// @dev A number from 0 to `most`.
    function draw(uint256 seed, string memory what, uint256 most) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what))) % (most + 1);
    }

    modifier atClock() {
        vm.warp(clock);
        _;
    }
}
