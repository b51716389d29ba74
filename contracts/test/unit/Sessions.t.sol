// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ISessions} from "../../src/interfaces/ISessions.sol";
import {Deal, Outcome, State, Terms} from "../../src/types/Deal.sol";
import {Intent} from "../../src/types/Intent.sol";
import {Grant, Session, SessionUse} from "../../src/types/Session.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice Sessions: what a key may open and top up, what that uses, and how it ends.
contract SessionsTest is Stage {
    Session private session;
    bytes32 private sid;
    Terms private terms;

    function setUp() public override {
        super.setUp();
        session = someSession();
        sid = escrow.sessionId(session);
        terms = termsIn(session, 1);
    }

    /* OPENING */

    function test_id_is_the_digest_of_the_document() public view {
        vm.assertEq(sid, sessionDigest(session), "digest");
    }

    function test_U1_opening_uses_cap_and_both_fees() public {
        bytes32 id = escrow.dealId(terms);
        bytes memory renterSays = sign(RENTER_KEY, id);
        bytes memory bid = sign(PROVIDER_KEY, id);
        Grant memory grant = grantOf(session);
        vm.expectEmit(address(escrow));
        emit ISessions.SessionGranted(sid, renter, renterKey, session);
        vm.expectEmit(address(escrow));
        emit ISessions.SessionUsed(sid, ESCROWED);
        vm.expectEmit(address(escrow));
        emit IEscrow.Opened(id, renter, provider, stranger, false, terms);
        vm.prank(stranger);
        escrow.openInSession(terms, grant, renterSays, bid);
        SessionUse memory use = escrow.sessions(sid);
        vm.assertEq(use.used, ESCROWED, "used");
        vm.assertEq(use.granted, true, "granted");
        vm.assertEq(use.revoked, false, "revoked");
        vm.assertEq(balance(renter), FUNDS - ESCROWED, "renter");
        vm.assertEq(slotOf(terms).locked, CAP, "locked");
    }

    function test_renters_signature_is_needed_once() public {
        refused(granted(session), abi.encodeWithSelector(ISessions.UngrantedSession.selector, sid));
        Grant memory forged = Grant(session, sign(RENTER_KEY, sid));
        refused(forged, abi.encodeWithSelector(ISessions.UngrantedSession.selector, sid));
        doOpenIn(grantOf(session), terms);
        doOpenIn(granted(session), termsIn(session, 2));
        // Whatever comes in its place afterwards is not read.
        doOpenIn(forged, termsIn(session, 3));
        vm.assertEq(usedOf(session), 3 * uint256(ESCROWED), "used");
    }

    function test_renter_as_sender_grants_and_agrees() public {
        bytes memory bid = sign(PROVIDER_KEY, terms);
        Grant memory grant = granted(session);
        vm.prank(renter);
        escrow.openInSession(terms, grant, "", bid);
        assertState(terms, State.Open);
    }

    function test_session_key_as_sender_agrees() public {
        bytes memory bid = sign(PROVIDER_KEY, terms);
        Grant memory grant = grantOf(session);
        vm.prank(renterKey);
        escrow.openInSession(terms, grant, "", bid);
        assertState(terms, State.Open);
    }

    function test_S3_others_do_not_agree() public {
        bytes32 id = escrow.dealId(terms);
        bytes memory bid = sign(PROVIDER_KEY, id);
        Grant memory grant = grantOf(session);
        bytes[4] memory says =
            [sign(STRANGER, id), sign(RENTER, id), sign(RENTER_KEY, sid), bytes("")];
        for (uint256 i = 0; i < says.length; ++i) {
            vm.expectRevert(IEscrow.RenterConsentMissing.selector);
            vm.prank(stranger);
            escrow.openInSession(terms, grant, says[i], bid);
        }
        bytes memory renterSays = sign(RENTER_KEY, id);
        bytes memory wrong = sign(STRANGER, id);
        vm.expectRevert(IEscrow.ProviderConsentMissing.selector);
        escrow.openInSession(terms, grant, renterSays, wrong);
    }

    function test_S3_terms_of_another_session_renter_key_or_token_are_refused() public {
        bytes memory why = abi.encodeWithSelector(ISessions.WrongSession.selector, sid);
        Session memory other = someSession();
        other.cap += 1;
        refused(grantOf(other), why);

        // A key lets another renter pay: its session names the first.
        terms.renter = stranger;
        fund(stranger, FUNDS);
        refused(grantOf(session), why);
        terms.renter = renter;
        terms.renterKey = vm.addr(STRANGER);
        bytes32 id = escrow.dealId(terms);
        bytes memory renterSays = sign(STRANGER, id);
        bytes memory bid = sign(PROVIDER_KEY, id);
        Grant memory grant = grantOf(session);
        vm.expectRevert(why);
        escrow.openInSession(terms, grant, renterSays, bid);
        terms.renterKey = renterKey;
        other = someSession();
        other.token = stranger;
        terms.session = escrow.sessionId(other);
        why = abi.encodeWithSelector(ISessions.WrongSession.selector, terms.session);
        refused(grantOf(other), why);
    }

    function test_terms_without_a_session_need_the_renter_itself() public {
        terms.session = 0;
        refused(grantOf(session), abi.encodeWithSelector(ISessions.WrongSession.selector, 0));
    }

    function test_terms_with_a_session_open_nowhere_else() public {
        bytes memory why = abi.encodeWithSelector(IEscrow.SessionRefused.selector, sid);
        bytes memory renterSays = sign(RENTER, terms);
        bytes memory bid = sign(PROVIDER_KEY, terms);
        vm.expectRevert(why);
        escrow.open(terms, renterSays, bid);
        give(renter, ESCROWED);
        bytes memory consent = authorization(terms);
        vm.expectRevert(why);
        escrow.openWithAuthorization(terms, consent, bid);
    }

    /* BOUNDS: each at -1, 0, +1 */

    function test_U2_use_reaches_the_cap_and_not_beyond() public {
        for (uint96 off = 0; off < 3; ++off) {
            session.cap = ESCROWED - 1 + off;
            terms = termsIn(session, 1);
            if (off == 0) {
                refused(
                    grantOf(session),
                    abi.encodeWithSelector(
                        ISessions.AboveSessionCap.selector, ESCROWED, session.cap
                    )
                );
            } else {
                uint256 here = vm.snapshotState();
                doOpenIn(grantOf(session), terms);
                vm.revertToState(here);
            }
        }
    }

    function test_rate_reaches_its_bound_and_not_beyond() public {
        for (uint96 off = 0; off < 3; ++off) {
            terms.ratePerHour = RATE - 1 + off;
            if (off == 2) {
                refused(
                    grantOf(session),
                    abi.encodeWithSelector(ISessions.AboveSessionRate.selector, RATE + 1, RATE)
                );
            } else {
                uint256 here = vm.snapshotState();
                doOpenIn(grantOf(session), terms);
                vm.revertToState(here);
            }
        }
    }

    function test_key_acts_before_expiry() public {
        doOpenIn(grantOf(session), terms);
        for (uint40 off = 0; off < 3; ++off) {
            session.expiry = NOW + off - 1;
            sid = escrow.sessionId(session);
            terms = termsIn(session, 2);
            if (off == 2) {
                doOpenIn(grantOf(session), terms);
                vm.warp(NOW + 1);
                vm.expectRevert(
                    abi.encodeWithSelector(ISessions.ExpiredSession.selector, session.expiry)
                );
                vm.prank(renterKey);
                escrow.topUpFor(terms, 1, session, freely(), "");
            } else {
                refused(
                    grantOf(session),
                    abi.encodeWithSelector(ISessions.ExpiredSession.selector, session.expiry)
                );
            }
        }
    }

    /* TOPPING UP */

    function test_U1_U2_key_tops_up_as_sender_within_the_cap() public {
        bytes32 id = doOpenIn(grantOf(session), terms);
        uint96 room = SESSION_CAP - ESCROWED;
        vm.expectRevert(
            abi.encodeWithSelector(
                ISessions.AboveSessionCap.selector, uint256(SESSION_CAP) + 1, SESSION_CAP
            )
        );
        vm.prank(renterKey);
        escrow.topUpFor(terms, room + 1, session, freely(), "");
        vm.expectEmit(address(escrow));
        emit ISessions.SessionUsed(sid, SESSION_CAP);
        vm.expectEmit(address(escrow));
        emit IEscrow.ToppedUp(id, room, CAP + room);
        vm.prank(renterKey);
        escrow.topUpFor(terms, room, session, freely(), "");
        vm.assertEq(balance(renter), FUNDS - SESSION_CAP, "from the renter's balance");
    }

    function test_S3_key_tops_up_by_signature_once() public {
        bytes32 id = doOpenIn(grantOf(session), terms);
        Intent memory intent = Intent({nonce: 9, deadline: NOW, fee: 0});
        bytes memory says = sign(RENTER_KEY, topUpDigest(id, 5, intent));
        vm.prank(stranger);
        escrow.topUpFor(terms, 5, session, intent, says);
        vm.assertEq(slotOf(terms).locked, CAP + 5, "locked");
        vm.assertEq(usedOf(session), ESCROWED + 5, "used");
        vm.assertEq(escrow.nonceUsed(renterKey, 9), true, "nonce");
        vm.expectRevert();
        vm.prank(stranger);
        escrow.topUpFor(terms, 5, session, intent, says);
    }

    function test_S3_key_cannot_state_a_fee() public {
        bytes32 id = doOpenIn(grantOf(session), terms);
        Intent memory intent = Intent({nonce: 9, deadline: NOW, fee: 1});
        bytes memory says = sign(RENTER_KEY, topUpDigest(id, 5, intent));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.KeyPaysNoFee.selector, 1));
        escrow.topUpFor(terms, 5, session, intent, says);
        says = sign(RENTER_KEY, intentDigest("Stop(bytes32 deal", id, intent));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.KeyPaysNoFee.selector, 1));
        escrow.stopFor(terms, intent, says);
    }

    function test_S3_key_needs_its_session_to_top_up() public {
        doOpenIn(grantOf(session), terms);
        Session memory richer = someSession();
        richer.cap = type(uint96).max;
        vm.expectRevert(abi.encodeWithSelector(ISessions.WrongSession.selector, sid));
        vm.prank(renterKey);
        escrow.topUpFor(terms, 5, richer, freely(), "");
        Terms memory plain = someTerms();
        doOpen(plain);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        vm.prank(renterKey);
        escrow.topUpFor(plain, 5, session, freely(), "");
    }

    function test_U1_renter_tops_up_beyond_the_cap_and_it_counts() public {
        doOpenIn(grantOf(session), terms);
        vm.prank(renter);
        escrow.topUp(terms, SESSION_CAP);
        vm.assertEq(usedOf(session), uint256(SESSION_CAP) + ESCROWED, "used");
        refusedNext(
            abi.encodeWithSelector(
                ISessions.AboveSessionCap.selector, uint256(SESSION_CAP) + 2 * ESCROWED, SESSION_CAP
            )
        );
    }

    /* SETTLING */

    function test_U1_every_exit_gives_back_the_refund() public {
        for (uint256 way = 0; way < 5; ++way) {
            uint256 here = vm.snapshotState();
            doOpenIn(grantOf(session), terms);
            vm.warp(NOW + 100);
            doPresent(terms, running(terms, 20));
            uint96 paid = 20_000;
            if (way == 0) {
                paid = 40_000;
                doSettle(terms, completed(terms, 40));
            } else if (way == 1) {
                doClaim(terms, running(terms, 30), 10);
                paid = 30_000;
                doContest(terms);
            } else if (way == 2) {
                doStop(terms);
                vm.warp(NOW + 100 + WINDOW);
                doFinalize(terms);
            } else if (way == 3) {
                doClaim(terms, running(terms, 30), 10);
                paid = 40_000;
                vm.warp(NOW + 100 + WINDOW);
                doFinalize(terms);
            } else {
                vm.warp(DEADLINE);
                doExpire(terms);
            }
            assertSettledAt(terms, paid);
            vm.assertEq(usedOf(session), uint256(paid) + OPEN_FEE + CLOSE_FEE, "spent");
            vm.revertToState(here);
        }
    }

    function test_U1_U2_loops_of_opening_and_settling_conserve_the_use() public {
        (terms.openFee, terms.closeFee) = (0, 0);
        uint256 spent;
        for (uint64 i = 1; i <= 30; ++i) {
            terms.nonce = i;
            doOpenIn(grantOf(session), terms);
            vm.assertEq(usedOf(session), spent + CAP, "held and spent");
            doSettle(terms, receiptOf(terms, 1_000 * uint96(i % 3), 3, Outcome.Completed));
            spent += 1_000 * (i % 3);
            vm.assertEq(usedOf(session), spent, "spent");
        }
        vm.assertEq(balance(renter), FUNDS - spent, "what it cost is what it used");
    }

    /* REVOKING */

    function test_revoked_session_opens_and_grows_no_more() public {
        bytes32 id = doOpenIn(grantOf(session), terms);
        vm.expectEmit(address(escrow));
        emit ISessions.SessionRevoked(sid, renter);
        vm.prank(renter);
        escrow.revoke(session);
        bytes memory why = abi.encodeWithSelector(ISessions.RevokedSession.selector, sid);
        refusedNext(why);
        vm.expectRevert(why);
        vm.prank(renterKey);
        escrow.topUpFor(terms, 1, session, freely(), "");
        vm.expectRevert(why);
        vm.prank(renter);
        escrow.topUp(terms, 1);
        bytes memory says = sign(RENTER, topUpDigest(id, 1, freely()));
        vm.expectRevert(why);
        escrow.topUpFor(terms, 1, session, freely(), says);
    }

    function test_U1_deals_of_a_revoked_session_end_and_give_back() public {
        doOpenIn(grantOf(session), terms);
        vm.prank(renter);
        escrow.revoke(session);
        vm.warp(NOW + 100);
        doSettle(terms, completed(terms, 40));
        assertSettledAt(terms, 40_000);
        vm.assertEq(usedOf(session), 40_000 + uint256(OPEN_FEE) + CLOSE_FEE, "spent");
        vm.assertEq(escrow.sessions(sid).revoked, true, "for ever");
    }

    function test_session_is_revoked_before_it_was_ever_used() public {
        vm.prank(renter);
        escrow.revoke(session);
        refused(grantOf(session), abi.encodeWithSelector(ISessions.RevokedSession.selector, sid));
    }

    function test_S3_only_the_renter_revokes_and_once() public {
        address[4] memory others = [renterKey, provider, providerKey, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISessions.NotRenter.selector, others[i]));
            vm.prank(others[i]);
            escrow.revoke(session);
        }
        vm.prank(renter);
        escrow.revoke(session);
        vm.expectRevert(abi.encodeWithSelector(ISessions.RevokedSession.selector, sid));
        vm.prank(renter);
        escrow.revoke(session);
    }

    /* CANCELLING */

    function test_session_key_cancels_terms_of_its_session_only() public {
        vm.prank(renterKey);
        escrow.cancel(terms);
        assertState(terms, State.Cancelled);
        Terms memory plain = someTerms();
        vm.expectRevert(abi.encodeWithSelector(ISessions.NotRenter.selector, renterKey));
        vm.prank(renterKey);
        escrow.cancel(plain);
        bytes memory says =
            sign(RENTER_KEY, intentDigest("Cancel(bytes32 deal", escrow.dealId(plain), freely()));
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.cancelFor(plain, freely(), says);
    }

    /* TRYING */

    function refused(Grant memory grant, bytes memory why) private {
        bytes32 id = escrow.dealId(terms);
        bytes memory renterSays = sign(RENTER_KEY, id);
        bytes memory bid = sign(PROVIDER_KEY, id);
        vm.expectRevert(why);
        escrow.openInSession(terms, grant, renterSays, bid);
    }

    function refusedNext(bytes memory why) private {
        terms.nonce += 1;
        refused(granted(session), why);
        terms.nonce -= 1;
    }
}
