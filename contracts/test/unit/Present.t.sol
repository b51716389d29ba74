// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Deal, Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `present`: a co-signed receipt raises the floor and never lowers it.
contract PresentTest is Stage {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = someTerms();
        id = doOpen(terms);
        vm.warp(NOW + 100);
    }

    function test_M1_raises_the_floor_and_never_lowers_it() public {
        Receipt memory r = running(terms, 20);
        vm.expectEmit(address(escrow));
        emit IEscrow.Presented(id, 20_000, 20, 0, r.meter);
        doPresent(terms, r);
        vm.assertEq(slotOf(terms).floor, 20_000, "floor");
        doPresent(terms, running(terms, 19));
        vm.assertEq(slotOf(terms).floor, 20_000, "lower");
        doPresent(terms, running(terms, 20));
        vm.assertEq(slotOf(terms).floor, 20_000, "again");
        doPresent(terms, running(terms, 21));
        vm.assertEq(slotOf(terms).floor, 21_000, "higher");
    }

    function test_touches_nothing_but_the_floor() public {
        Deal memory before = slotOf(terms);
        doPresent(terms, running(terms, 20));
        before.floor = 20_000;
        vm.assertEq(keccak256(abi.encode(slotOf(terms))), keccak256(abi.encode(before)), "slot");
    }

    function test_S3_needs_both_keys() public {
        Receipt memory r = running(terms, 20);
        refused(r, sign(RENTER, r), sign(PROVIDER_KEY, r), IEscrow.RenterConsentMissing.selector);
        refused(r, sign(RENTER_KEY, r), sign(PROVIDER, r), IEscrow.ProviderConsentMissing.selector);
        refused(r, "", sign(PROVIDER_KEY, r), IEscrow.RenterConsentMissing.selector);
        refused(r, sign(RENTER_KEY, r), "", IEscrow.ProviderConsentMissing.selector);
        refused(
            r, sign(PROVIDER_KEY, r), sign(RENTER_KEY, r), IEscrow.RenterConsentMissing.selector
        );
    }

    function test_S3_being_the_sender_does_not_replace_a_signature() public {
        Receipt memory r = running(terms, 20);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        vm.prank(renterKey);
        escrow.present(terms, r, "", providerSays);
    }

    function test_refuses_a_receipt_of_another_deal() public {
        Terms memory other = someTerms();
        other.nonce = 2;
        doOpenLater(other);
        Receipt memory r = running(other, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongDeal.selector, r.deal));
        escrow.present(terms, r, renterSays, providerSays);
    }

    function test_refuses_a_receipt_signed_for_another_chain() public {
        Receipt memory r = running(terms, 20);
        bytes32 there = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Plaza"),
                keccak256("1"),
                block.chainid + 1,
                escrow
            )
        );
        bytes32 digest = digestIn(there, structHashOf(r));
        bytes memory renterSays = sign(RENTER_KEY, digest);
        bytes memory providerSays = sign(PROVIDER_KEY, digest);
        refused(r, renterSays, providerSays, IEscrow.RenterConsentMissing.selector);
    }

    function test_refuses_a_receipt_changed_after_signing() public {
        Receipt memory r = running(terms, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        (r.amount, r.elapsed) = (21_000, 21);
        refused(r, renterSays, providerSays, IEscrow.RenterConsentMissing.selector);
    }

    function test_refuses_the_other_form_of_a_signature() public {
        Receipt memory r = running(terms, 20);
        (uint8 v, bytes32 x, bytes32 s) = vm.sign(RENTER_KEY, digestOf(r));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes memory mirrored = abi.encodePacked(x, order - uint256(s), v ^ 7);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        refused(r, mirrored, providerSays, IEscrow.RenterConsentMissing.selector);
    }

    function test_refuses_terminal_receipts() public {
        for (uint8 outcome = 1; outcome <= 5; ++outcome) {
            Receipt memory r = receiptOf(terms, 1, 20, Outcome(outcome));
            bytes memory renterSays = sign(RENTER_KEY, r);
            bytes memory providerSays = sign(PROVIDER_KEY, r);
            vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongOutcome.selector, r.outcome));
            escrow.present(terms, r, renterSays, providerSays);
        }
    }

    function test_B1_amount_is_within_rate_and_lock() public {
        Receipt memory r = receiptOf(terms, 20_001, 20, Outcome.Running);
        bounded(r, abi.encodeWithSelector(IEscrow.AmountAboveRate.selector, 20_001, 20_000));
        vm.warp(NOW + 2_100);
        r = running(terms, 2_001);
        bounded(r, abi.encodeWithSelector(IEscrow.AmountAboveLocked.selector, 2_001_000, CAP));
        r.amount = CAP;
        doPresent(terms, r);
    }

    function test_B1_seconds_are_those_that_can_have_passed() public {
        // seconds + acceptBy <= now + A: 30 + 130 = 100 + 60 (+ NOW)
        uint40 most = 100 + LEAD - 30;
        bounded(
            running(terms, most + 1),
            abi.encodeWithSelector(IEscrow.SecondsAboveTime.selector, most + 1)
        );
        doPresent(terms, running(terms, most));
    }

    function test_B1_seconds_end_at_expiry() public {
        vm.warp(DEADLINE - 1);
        uint40 most = EXPIRY + LEAD - ACCEPT_BY;
        Receipt memory r = receiptOf(terms, 0, most + 1, Outcome.Running);
        bounded(r, abi.encodeWithSelector(IEscrow.SecondsAboveTime.selector, most + 1));
        r.elapsed = most;
        doPresent(terms, r);
    }

    function test_while_open_until_the_deadline() public {
        vm.warp(DEADLINE - 1);
        doPresent(terms, running(terms, 20));
        vm.warp(DEADLINE);
        bounded(running(terms, 21), abi.encodeWithSelector(IEscrow.TooLate.selector, DEADLINE));
    }

    function test_while_stopped_until_the_end_of_the_window() public {
        doStop(terms);
        vm.warp(NOW + 100 + WINDOW - 1);
        doPresent(terms, running(terms, 20));
        assertState(terms, State.Stopped);
        vm.warp(NOW + 100 + WINDOW);
        bounded(
            running(terms, 21), abi.encodeWithSelector(IEscrow.TooLate.selector, NOW + 100 + WINDOW)
        );
    }

    function doOpenLater(Terms memory other) private {
        vm.warp(NOW);
        doOpen(other);
        vm.warp(NOW + 100);
    }

    function bounded(Receipt memory r, bytes memory why) private {
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        vm.expectRevert(why);
        escrow.present(terms, r, renterSays, providerSays);
    }

    function refused(
        Receipt memory r,
        bytes memory renterSays,
        bytes memory providerSays,
        bytes4 why
    ) private {
        vm.expectRevert(why);
        escrow.present(terms, r, renterSays, providerSays);
    }
}
