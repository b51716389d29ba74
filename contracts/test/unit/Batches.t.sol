// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ISessions} from "../../src/interfaces/ISessions.sol";
import {Closing, Opening} from "../../src/types/Batch.sol";
import {Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Grant, Session} from "../../src/types/Session.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice Batches: many deals by one signature of each side, none of which can harm another.
contract BatchesTest is Stage {
    Session private session;

    function setUp() public override {
        super.setUp();
        session = someSession();
        session.cap = type(uint96).max;
    }

    /* OPENING */

    function test_opens_all_and_pays_the_sender() public {
        Opening[] memory openings = openingsOf(3);
        doOpenBatch(openings, one(grantOf(session)));
        for (uint256 i = 0; i < 3; ++i) {
            assertState(openings[i].terms, State.Open);
        }
        vm.assertEq(usedOf(session), 3 * uint256(ESCROWED), "U1 used");
        vm.assertEq(balance(stranger), 3 * uint256(OPEN_FEE), "openFees go to the sender");
        vm.assertEq(balance(renter), FUNDS - 3 * uint256(ESCROWED), "renter");
    }

    function test_sides_may_send_it_instead() public {
        Opening[] memory openings = openingsOf(2);
        Grant[] memory grants = one(grantOf(session));
        bytes memory bid = sign(PROVIDER_KEY, batchDigest(openings));
        vm.prank(renterKey);
        escrow.openBatch(openings, grants, "", bid);
        assertState(openings[1].terms, State.Open);
        openings[0].terms.nonce = 10;
        openings[1].terms.nonce = 11;
        bytes memory says = sign(RENTER_KEY, batchDigest(openings));
        vm.prank(provider);
        escrow.openBatch(openings, grants, says, "");
        assertState(openings[1].terms, State.Open);
    }

    function test_items_of_several_renters_open_in_their_sessions() public {
        uint256 secret = uint256(keccak256("second renter"));
        address second = vm.addr(secret);
        fund(second, FUNDS);
        Session memory theirs = session;
        theirs = Session(second, renterKey, address(dollar), ESCROWED, RATE, NOW + 1 days, "salt");
        Grant[] memory grants = new Grant[](2);
        grants[0] = grantOf(session);
        grants[1] = Grant(theirs, sign(secret, sessionDigest(theirs)));
        Opening[] memory openings = openingsOf(2);
        openings[1].terms = termsIn(theirs, 5);
        openings[1].terms.renter = second;
        openings[1].grant = 1;
        doOpenBatch(openings, grants);
        assertState(openings[0].terms, State.Open);
        assertState(openings[1].terms, State.Open);
        vm.assertEq(balance(second), FUNDS - ESCROWED, "second renter");
        vm.assertEq(usedOf(theirs), ESCROWED, "U1");
    }

    function test_bad_items_are_skipped_with_their_reasons() public {
        Opening[] memory openings = openingsOf(8);
        openings[1].terms.cap = 0;
        openings[2].terms = openings[0].terms; // twice the same
        openings[3].terms.ratePerHour = RATE + 1;
        openings[4].terms.session = 0;
        openings[5].terms.renterKey = stranger;
        openings[6].terms.providerKey = stranger;
        bytes[] memory reasons = new bytes[](8);
        reasons[1] = abi.encodeWithSelector(IEscrow.ZeroCap.selector);
        reasons[2] = abi.encodeWithSelector(IEscrow.WrongState.selector, State.Open);
        reasons[3] = abi.encodeWithSelector(ISessions.AboveSessionRate.selector, RATE + 1, RATE);
        reasons[4] = abi.encodeWithSelector(ISessions.WrongSession.selector, 0);
        reasons[5] = abi.encodeWithSelector(IEscrow.RenterConsentMissing.selector);
        reasons[6] = abi.encodeWithSelector(IEscrow.ProviderConsentMissing.selector);
        for (uint256 i = 0; i < 8; ++i) {
            if (reasons[i].length == 0) continue;
            vm.expectEmit(address(escrow));
            emit IEscrow.Skipped(escrow.dealId(openings[i].terms), reasons[i]);
        }
        doOpenBatch(openings, one(grantOf(session)));
        assertState(openings[0].terms, State.Open);
        assertState(openings[7].terms, State.Open);
        for (uint256 i = 1; i < 7; ++i) {
            if (i != 2) assertState(openings[i].terms, State.None);
        }
        vm.assertEq(usedOf(session), 2 * uint256(ESCROWED), "U1: what was skipped uses nothing");
        vm.assertEq(balance(renter), FUNDS - 2 * uint256(ESCROWED), "S3");
    }

    function test_U2_items_share_the_cap() public {
        session.cap = 2 * ESCROWED;
        Opening[] memory openings = openingsOf(3);
        doOpenBatch(openings, one(grantOf(session)));
        assertState(openings[1].terms, State.Open);
        assertState(openings[2].terms, State.None);
        vm.assertEq(usedOf(session), session.cap, "U2");
    }

    function test_wrong_grant_skips_only_those_that_need_it() public {
        Session memory other = someSession();
        other.salt = "other";
        Grant[] memory grants = new Grant[](2);
        grants[0] = grantOf(session);
        grants[1] = Grant(other, sign(STRANGER, sessionDigest(other)));
        Opening[] memory openings = openingsOf(3);
        openings[1] = Opening(termsIn(other, 7), 1);
        bytes32 id = escrow.dealId(openings[1].terms);
        vm.expectEmit(address(escrow));
        emit IEscrow.Skipped(
            id, abi.encodeWithSelector(ISessions.UngrantedSession.selector, sessionDigest(other))
        );
        doOpenBatch(openings, grants);
        assertState(openings[0].terms, State.Open);
        assertState(openings[1].terms, State.None);
        assertState(openings[2].terms, State.Open);
    }

    function test_what_was_left_out_opens_when_the_batch_is_sent_again() public {
        Opening[] memory openings = openingsOf(2);
        vm.prank(owner);
        plaza.pauseOpens(10);
        doOpenBatch(openings, one(grantOf(session)));
        assertState(openings[0].terms, State.None);
        vm.prank(owner);
        plaza.resumeOpens();
        doOpenBatch(openings, one(granted(session)));
        doOpenBatch(openings, one(granted(session)));
        assertState(openings[0].terms, State.Open);
        vm.assertEq(usedOf(session), 2 * uint256(ESCROWED), "U1: once each");
    }

    /* SETTLING */

    function test_C1_settles_all_to_the_unit() public {
        Closing[] memory closings = closingsOf(3);
        closings[1].receipt = receiptOf(closings[1].terms, 33_333, 34, Outcome.Failed);
        doSettleBatch(closings);
        uint256 fee = 600 + 999 + 600;
        vm.assertEq(balance(provider), 20_000 + 33_333 + 20_000 - fee, "paid");
        vm.assertEq(escrow.fees(address(dollar)), fee, "fee");
        vm.assertEq(balance(stranger), 3 * (uint256(OPEN_FEE) + CLOSE_FEE), "closeFees");
        vm.assertEq(usedOf(session), 73_333 + 3 * (uint256(OPEN_FEE) + CLOSE_FEE), "U1");
    }

    function test_bad_closings_are_skipped_with_their_reasons() public {
        Closing[] memory closings = closingsOf(7);
        closings[1].receipt = receiptOf(closings[1].terms, CAP + 1, 100, Outcome.Completed);
        closings[2] = closings[0]; // twice the same
        closings[3].receipt.deal = closings[0].receipt.deal;
        closings[4].receipt = running(closings[4].terms, 20);
        closings[5].terms.renterKey = stranger; // a deal that is not there
        bytes[] memory reasons = new bytes[](7);
        reasons[1] = abi.encodeWithSelector(IEscrow.AmountAboveLocked.selector, CAP + 1, CAP);
        reasons[2] = abi.encodeWithSelector(IEscrow.WrongState.selector, State.Settled);
        reasons[3] = abi.encodeWithSelector(IEscrow.WrongDeal.selector, closings[0].receipt.deal);
        reasons[4] = abi.encodeWithSelector(IEscrow.WrongOutcome.selector, Outcome.Running);
        reasons[5] = abi.encodeWithSelector(IEscrow.WrongState.selector, State.None);
        for (uint256 i = 0; i < 7; ++i) {
            if (reasons[i].length == 0) continue;
            vm.expectEmit(address(escrow));
            emit IEscrow.Skipped(escrow.dealId(closings[i].terms), reasons[i]);
        }
        doSettleBatch(closings);
        assertState(closings[0].terms, State.Settled);
        assertState(closings[6].terms, State.Settled);
        assertState(closings[1].terms, State.Open);
        assertState(closings[3].terms, State.Open);
        assertState(closings[4].terms, State.Open);
    }

    function test_S3_signers_settle_their_own_deals_only() public {
        Closing[] memory closings = closingsOf(2);
        bytes memory renterSays = sign(RENTER_KEY, batchDigest(closings));
        bytes memory providerSays = sign(PROVIDER_KEY, batchDigest(closings));
        bytes memory strangers = sign(STRANGER, batchDigest(closings));
        bytes memory owns = sign(RENTER, batchDigest(closings));
        bytes memory colds = sign(PROVIDER, batchDigest(closings));
        escrow.settleBatch(closings, strangers, providerSays);
        escrow.settleBatch(closings, renterSays, strangers);
        escrow.settleBatch(closings, owns, providerSays);
        escrow.settleBatch(closings, renterSays, colds);
        vm.prank(stranger);
        escrow.settleBatch(closings, "", providerSays);
        vm.prank(stranger);
        escrow.settleBatch(closings, renterSays, "");
        assertState(closings[0].terms, State.Open);
        vm.prank(renter);
        escrow.settleBatch(closings, "", providerSays);
        assertState(closings[0].terms, State.Settled);
    }

    function test_S3_batch_of_other_documents_is_not_consent() public {
        Closing[] memory closings = closingsOf(2);
        Closing[] memory fewer = new Closing[](1);
        fewer[0] = closings[0];
        bytes memory renterSays = sign(RENTER_KEY, batchDigest(closings));
        bytes memory providerSays = sign(PROVIDER_KEY, batchDigest(closings));
        escrow.settleBatch(fewer, renterSays, providerSays);
        (closings[0], closings[1]) = (closings[1], closings[0]);
        escrow.settleBatch(closings, renterSays, providerSays);
        assertState(closings[0].terms, State.Open);
        assertState(closings[1].terms, State.Open);
        bytes memory single = sign(RENTER_KEY, closings[0].receipt);
        escrow.settleBatch(fewer, single, providerSays);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.settle(closings[1].terms, closings[1].receipt, renterSays, providerSays);
    }

    function test_S3_malformed_signature_stops_the_batch() public {
        Closing[] memory closings = closingsOf(1);
        closings[0].terms.renterKey = address(0);
        bytes memory says = sign(PROVIDER_KEY, batchDigest(closings));
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.settleBatch(closings, new bytes(65), says);
        vm.expectRevert(IEscrow.ProviderConsentMissing.selector);
        escrow.settleBatch(closings, says, new bytes(64));
    }

    /* SIZES: 0, 1, 199, 200, 201 */

    function test_batches_have_one_to_two_hundred_items() public {
        fund(renter, 200 * uint256(ESCROWED));
        uint16[5] memory sizes = [uint16(1), 199, 200, 0, 201];
        for (uint256 i = 0; i < sizes.length; ++i) {
            uint256 here = vm.snapshotState();
            Opening[] memory openings = openingsOf(sizes[i]);
            Closing[] memory closings = new Closing[](sizes[i]);
            bytes memory why =
                abi.encodeWithSelector(IEscrow.BatchSizeOutOfBounds.selector, sizes[i]);
            bool bad = sizes[i] == 0 || sizes[i] > 200;
            Grant[] memory grants = one(grantOf(session));
            bytes memory renterSays = sign(RENTER_KEY, batchDigest(openings));
            bytes memory providerSays = sign(PROVIDER_KEY, batchDigest(openings));
            if (bad) vm.expectRevert(why);
            escrow.openBatch(openings, grants, renterSays, providerSays);
            vm.warp(NOW + 100);
            for (uint256 j = 0; j < sizes[i]; ++j) {
                Terms memory t = openings[j].terms;
                closings[j] = Closing(t, completed(t, 20));
            }
            renterSays = sign(RENTER_KEY, batchDigest(closings));
            providerSays = sign(PROVIDER_KEY, batchDigest(closings));
            if (bad) vm.expectRevert(why);
            escrow.settleBatch(closings, renterSays, providerSays);
            for (uint256 j = 0; !bad && j < sizes[i]; ++j) {
                assertState(openings[j].terms, State.Settled);
            }
            vm.revertToState(here);
        }
    }

    /* ITEMS */

    function test_S3_nobody_calls_an_item() public {
        bytes32 word = bytes32(uint256(uint160(renterKey)));
        string[2] memory kinds = [
            "openItem((address,address,address,address,bytes32,address,uint96,uint96,uint16,uint8,uint40,uint40,uint16,address,uint96,uint96,uint64,bytes32),bytes32,(address,address,address,uint96,uint96,uint40,bytes32),bytes32,(address,address,bool,bool,address))",
            "settleItem((address,address,address,address,bytes32,address,uint96,uint96,uint16,uint8,uint40,uint40,uint16,address,uint96,uint96,uint64,bytes32),(bytes32,uint96,uint40,uint8,bytes32,bytes32),(address,address,bool,bool,address))"
        ];
        Terms memory t = termsIn(session, 1);
        bytes32 id = doOpenIn(grantOf(session), t);
        bytes[2] memory calls = [
            abi.encodeWithSelector(
                bytes4(keccak256(bytes(kinds[0]))),
                termsIn(session, 2),
                escrow.dealId(termsIn(session, 2)),
                session,
                sessionDigest(session),
                renterKey,
                providerKey,
                false,
                false,
                word
            ),
            abi.encodeWithSelector(
                bytes4(keccak256(bytes(kinds[1]))),
                t,
                completed(t, 20),
                renterKey,
                providerKey,
                false,
                false,
                word
            )
        ];
        address[3] memory senders = [renterKey, providerKey, stranger];
        for (uint256 i = 0; i < 2; ++i) {
            for (uint256 j = 0; j < senders.length; ++j) {
                vm.prank(senders[j]);
                (bool done, bytes memory why) = address(escrow).call(calls[i]);
                vm.assertTrue(!done, "an item");
                vm.assertEq(
                    keccak256(why),
                    keccak256(abi.encodeWithSelector(IEscrow.NotOfBatch.selector, senders[j])),
                    "reason"
                );
            }
            // The encoding is right: from within, both would go through.
            vm.prank(address(escrow));
            (bool within,) = address(escrow).call(calls[i]);
            vm.assertTrue(within, "from within");
        }
        vm.assertEq(uint256(escrow.deals(id).state), uint256(State.Settled), "settled");
    }

    /// @dev With little gas an item fails and is skipped; nothing else follows from it.
    function testFuzz_S1_item_that_runs_out_of_gas_is_only_skipped(uint256 gas) public {
        Closing[] memory closings = closingsOf(3);
        bytes memory renterSays = sign(RENTER_KEY, batchDigest(closings));
        bytes memory providerSays = sign(PROVIDER_KEY, batchDigest(closings));
        bytes memory message =
            abi.encodeCall(IEscrow.settleBatch, (closings, renterSays, providerSays));
        (bool done,) = address(escrow).call{gas: 20_000 + gas % 150_000}(message);
        uint256 settled;
        for (uint256 i = 0; i < 3; ++i) {
            State state = stateOf(closings[i].terms);
            vm.assertTrue(state == State.Open || state == State.Settled, "whole or not at all");
            if (state == State.Settled) ++settled;
        }
        vm.assertTrue(done || settled == 0, "a batch that reverts settles nothing");
        vm.assertEq(balance(provider), settled * 19_400, "C1");
        vm.assertEq(
            usedOf(session),
            settled * 20_000 + (3 - settled) * uint256(CAP) + 3 * (uint256(OPEN_FEE) + CLOSE_FEE),
            "U1"
        );
    }

    /* GETTING THERE */

    function openingsOf(uint256 size) private view returns (Opening[] memory openings) {
        openings = new Opening[](size);
        for (uint256 i = 0; i < size; ++i) {
            openings[i] = Opening(termsIn(session, uint64(i)), 0);
        }
    }

    function closingsOf(uint256 size) private returns (Closing[] memory closings) {
        Opening[] memory openings = openingsOf(size);
        doOpenBatch(openings, one(grantOf(session)));
        vm.warp(NOW + 100);
        closings = new Closing[](size);
        for (uint256 i = 0; i < size; ++i) {
            Terms memory t = openings[i].terms;
            closings[i] = Closing(t, completed(t, 20));
        }
    }

    function one(Grant memory grant) private pure returns (Grant[] memory grants) {
        grants = new Grant[](1);
        grants[0] = grant;
    }
}
