// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ISessions} from "../../src/interfaces/ISessions.sol";
import {Outcome, State, Terms} from "../../src/types/Deal.sol";
import {Intent} from "../../src/types/Intent.sol";
import {Session} from "../../src/types/Session.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice Intents: what an account signs for others to send, and what that costs it.
contract IntentsTest is Stage {
    Terms private terms;
    bytes32 private id;
    Intent private paid = Intent({nonce: 3, deadline: NOW + 60, fee: 40});

    function setUp() public override {
        super.setUp();
        terms = someTerms();
        id = escrow.dealId(terms);
    }

    /* WHAT THEY DO */

    function test_newcomer_cancels_stops_contests_and_tops_up_without_native_coin() public {
        vm.expectEmit(address(escrow));
        emit IEscrow.Cancelled(id, renter, provider);
        vm.expectEmit(address(escrow));
        emit IBalances.Relayed(address(dollar), renter, stranger, 40);
        carry(abi.encodeCall(IEscrow.cancelFor, (terms, paid, by(RENTER, "Cancel(bytes32 deal"))));
        vm.assertEq(balance(stranger), 40, "fee");
        vm.assertEq(balance(renter), FUNDS - 40, "renter");

        terms.nonce = 2;
        id = doOpen(terms);
        bytes memory says = sign(RENTER, topUpDigest(id, 7, paid));
        Session memory none;
        carry(abi.encodeCall(IEscrow.topUpFor, (terms, 7, none, paid, says)));
        vm.assertEq(slotOf(terms).locked, CAP + 7, "locked");
        carry(abi.encodeCall(IEscrow.stopFor, (terms, paid, by(RENTER, "Stop(bytes32 deal"))));
        assertState(terms, State.Stopped);
        doClaimFloor(terms);
        carry(abi.encodeCall(IEscrow.contestFor, (terms, paid, by(RENTER, "Contest(bytes32 deal"))));
        assertState(terms, State.Settled);
        vm.assertEq(balance(stranger), 160 + OPEN_FEE + CLOSE_FEE, "fees");
        vm.assertEq(balance(renter), FUNDS - 160 - OPEN_FEE - CLOSE_FEE, "renter");
    }

    function test_refund_pays_for_the_contest_that_frees_it() public {
        doOpen(terms);
        doClaimFloor(terms);
        uint256 rest = balance(renter);
        vm.prank(renter);
        escrow.withdraw(address(dollar), renter, rest);
        carry(abi.encodeCall(IEscrow.contestFor, (terms, paid, by(RENTER, "Contest(bytes32 deal"))));
        vm.assertEq(balance(renter), CAP - 40, "refund less the fee");
    }

    function test_withdraws_by_signature_beside_the_fee() public {
        bytes memory says = sign(RENTER, withdrawDigest(renter, 500, provider, paid));
        vm.expectEmit(address(escrow));
        emit IBalances.Relayed(address(dollar), renter, stranger, 40);
        vm.expectEmit(address(escrow));
        emit IBalances.Withdrawn(address(dollar), renter, provider, 500, FUNDS - 540);
        vm.prank(stranger);
        escrow.withdrawFor(renter, address(dollar), 500, provider, paid, says);
        vm.assertEq(dollar.balanceOf(provider), 500, "receiver");
        vm.assertEq(balance(renter), FUNDS - 540, "account");
        vm.assertEq(balance(stranger), 40, "fee");
        vm.assertEq(escrow.nonceUsed(renter, 3), true, "nonce");
        vm.assertEq(escrow.nonceUsed(renter, 2), false, "its neighbour");
    }

    function test_revokes_by_signature() public {
        Session memory session = someSession();
        bytes32 sid = escrow.sessionId(session);
        bytes memory says = sign(RENTER, intentDigest("Revoke(bytes32 session", sid, paid));
        vm.prank(stranger);
        escrow.revokeFor(session, paid, says);
        vm.assertEq(escrow.sessions(sid).revoked, true, "revoked");
        vm.assertEq(balance(stranger), 40, "fee");
    }

    function test_fee_of_nothing_needs_no_balance_and_says_nothing() public {
        uint256 all = balance(renter);
        vm.prank(renter);
        escrow.withdraw(address(dollar), renter, all);
        bytes memory says = sign(RENTER, intentDigest("Cancel(bytes32 deal", id, freely()));
        vm.recordLogs();
        escrow.cancelFor(terms, freely(), says);
        vm.assertEq(vm.getRecordedLogs().length, 1, "Cancelled alone");
    }

    /* WHEN */

    function test_may_be_sent_until_its_deadline() public {
        for (uint40 off = 0; off < 3; ++off) {
            uint256 here = vm.snapshotState();
            vm.warp(NOW + 59 + off);
            bytes memory says = sign(RENTER, withdrawDigest(renter, 1, renter, paid));
            if (off == 2) late();
            escrow.withdrawFor(renter, address(dollar), 1, renter, paid, says);
            says = by(RENTER, "Cancel(bytes32 deal");
            if (off == 2) late();
            escrow.cancelFor(terms, paid, says);
            Session memory session = someSession();
            bytes32 sid = escrow.sessionId(session);
            says = sign(RENTER, intentDigest("Revoke(bytes32 session", sid, paid));
            if (off == 2) late();
            escrow.revokeFor(session, paid, says);
            vm.revertToState(here);
        }
    }

    function late() private {
        vm.expectRevert(abi.encodeWithSelector(IBalances.IntentExpired.selector, NOW + 60));
    }

    /* WHO */

    function test_S3_only_the_account_withdraws_and_revokes() public {
        uint256[3] memory others = [RENTER_KEY, PROVIDER, STRANGER];
        Session memory session = someSession();
        bytes32 sid = escrow.sessionId(session);
        bytes memory why = abi.encodeWithSelector(IBalances.AccountConsentMissing.selector, renter);
        for (uint256 i = 0; i < others.length; ++i) {
            bytes memory says = sign(others[i], withdrawDigest(renter, 1, stranger, paid));
            vm.expectRevert(why);
            escrow.withdrawFor(renter, address(dollar), 1, stranger, paid, says);
            says = sign(others[i], intentDigest("Revoke(bytes32 session", sid, paid));
            vm.expectRevert(why);
            escrow.revokeFor(session, paid, says);
        }
        vm.expectRevert(why);
        vm.prank(renter);
        escrow.withdrawFor(renter, address(dollar), 1, stranger, paid, "");
    }

    function test_S3_malformed_signature_is_nobodys() public {
        Terms memory t = terms;
        t.renter = address(0);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.cancelFor(t, freely(), new bytes(65));
        vm.expectRevert(
            abi.encodeWithSelector(IBalances.AccountConsentMissing.selector, address(0))
        );
        escrow.withdrawFor(address(0), address(dollar), 0, stranger, freely(), new bytes(65));
    }

    function test_S3_every_member_is_signed() public {
        bytes memory says = sign(RENTER, withdrawDigest(renter, 1, renter, paid));
        bytes memory why = abi.encodeWithSelector(IBalances.AccountConsentMissing.selector, renter);
        Intent[3] memory others = [paid, paid, paid];
        others[0].nonce += 1;
        others[1].deadline += 1;
        others[2].fee += 1;
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(why);
            escrow.withdrawFor(renter, address(dollar), 1, renter, others[i], says);
        }
        vm.expectRevert(why);
        escrow.withdrawFor(renter, address(dollar), 2, renter, paid, says);
        vm.expectRevert(why);
        escrow.withdrawFor(renter, address(dollar), 1, stranger, paid, says);
        vm.expectRevert(why);
        escrow.withdrawFor(renter, stranger, 1, renter, paid, says);
    }

    /* ONCE */

    function test_S3_withdrawal_and_top_up_are_carried_out_once() public {
        bytes memory says = sign(RENTER, withdrawDigest(renter, 1, renter, paid));
        escrow.withdrawFor(renter, address(dollar), 1, renter, paid, says);
        bytes memory why = abi.encodeWithSelector(IBalances.NonceUsed.selector, renter, 3);
        vm.expectRevert(why);
        escrow.withdrawFor(renter, address(dollar), 1, renter, paid, says);
        doOpen(terms);
        Session memory none;
        says = sign(RENTER, topUpDigest(id, 7, paid));
        vm.expectRevert(why);
        escrow.topUpFor(terms, 7, none, paid, says);
        Intent memory next = Intent({nonce: 4, deadline: NOW + 60, fee: 0});
        says = sign(RENTER, topUpDigest(id, 7, next));
        escrow.topUpFor(terms, 7, none, next, says);
        vm.expectRevert(abi.encodeWithSelector(IBalances.NonceUsed.selector, renter, 4));
        escrow.topUpFor(terms, 7, none, next, says);
    }

    function test_nonces_are_free_to_choose_and_each_account_has_its_own() public {
        uint64[5] memory nonces = [0, 255, 256, type(uint64).max, 1];
        for (uint256 i = 0; i < nonces.length; ++i) {
            Intent memory intent = Intent({nonce: nonces[i], deadline: NOW, fee: 0});
            bytes memory says = sign(RENTER, withdrawDigest(renter, 1, renter, intent));
            escrow.withdrawFor(renter, address(dollar), 1, renter, intent, says);
            vm.assertEq(escrow.nonceUsed(renter, nonces[i]), true, "used");
            vm.assertEq(escrow.nonceUsed(provider, nonces[i]), false, "another's");
        }
    }

    /* GETTING THERE */

    function by(uint256 key, string memory name) private view returns (bytes memory) {
        return sign(key, intentDigest(name, id, paid));
    }

    function carry(bytes memory message) private {
        vm.prank(stranger);
        (bool done, bytes memory why) = address(escrow).call(message);
        vm.assertTrue(done, vm.toString(why));
    }
}
