// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `settle`: both sides agree, and money divides to the unit.
contract SettleTest is Stage {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = someTerms();
        id = doOpen(terms);
        vm.warp(NOW + 400);
    }

    function test_C1_divides_what_was_locked_to_the_unit() public {
        Receipt memory r = receiptOf(terms, 33_333, 34, Outcome.Completed);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        vm.expectEmit(address(escrow));
        emit IEscrow.Settled(
            id, stranger, 32_334, 999, CAP - 33_333, 34, r.outcome, r.result, r.meter
        );
        vm.prank(stranger);
        escrow.settle(terms, r, renterSays, providerSays);
        assertSettledAt(terms, 33_333);
    }

    function test_C1_at_nothing_and_at_everything() public {
        uint256 here = vm.snapshotState();
        doSettle(terms, receiptOf(terms, 0, 0, Outcome.Failed));
        assertSettledAt(terms, 0);
        vm.revertToState(here);
        vm.warp(NOW + 2_000);
        doSettle(terms, receiptOf(terms, CAP, 2_000, Outcome.OutOfFunds));
        assertSettledAt(terms, CAP);
    }

    function test_every_terminal_outcome_settles() public {
        for (uint8 outcome = 1; outcome <= 5; ++outcome) {
            uint256 here = vm.snapshotState();
            doSettle(terms, receiptOf(terms, 300_000, 300, Outcome(outcome)));
            assertSettledAt(terms, 300_000);
            vm.revertToState(here);
        }
    }

    function test_running_receipts_and_unknown_outcomes_do_not_settle() public {
        Receipt memory r = running(terms, 20);
        refused(r, abi.encodeWithSelector(IEscrow.WrongOutcome.selector, Outcome.Running));
        r = completed(terms, 20);
        bytes memory call = abi.encodeCall(IEscrow.settle, (terms, r, "", ""));
        uint256 word = 4 + (18 + 3) * 32 + 31;
        vm.assertEq(uint8(call[word]), uint256(uint8(Outcome.Completed)), "the outcome's byte");
        call[word] = 0x06;
        vm.prank(renter);
        (bool done,) = address(escrow).call(call);
        vm.assertTrue(!done, "outcome 6");
    }

    function test_providers_fault_is_free_in_the_first_five_minutes() public {
        Receipt memory r = receiptOf(terms, 1, 299, Outcome.ProviderFault);
        refused(r, abi.encodeWithSelector(IEscrow.EarlyFaultIsFree.selector, 1));
        r.amount = 0;
        uint256 here = vm.snapshotState();
        doSettle(terms, r);
        assertSettledAt(terms, 0);
        vm.revertToState(here);
        doSettle(terms, receiptOf(terms, 300_000, 300, Outcome.ProviderFault));
        assertSettledAt(terms, 300_000);
    }

    function test_both_may_agree_below_the_floor() public {
        doPresent(terms, running(terms, 20));
        doSettle(terms, completed(terms, 10));
        assertSettledAt(terms, 10_000);
    }

    function test_of_a_stopped_deal_even_after_its_window() public {
        doStop(terms);
        vm.warp(NOW + 400 + WINDOW);
        doSettle(terms, completed(terms, 20));
        assertSettledAt(terms, 20_000);
    }

    function test_of_a_claimed_deal_even_after_its_window() public {
        doClaim(terms, running(terms, 30), GRACE);
        vm.warp(NOW + 400 + WINDOW);
        doSettle(terms, completed(terms, 20));
        assertSettledAt(terms, 20_000);
    }

    function test_of_an_open_deal_even_after_its_deadline() public {
        vm.warp(DEADLINE + 365 days);
        doSettle(terms, completed(terms, 20));
        assertSettledAt(terms, 20_000);
    }

    function test_side_that_sends_needs_no_signature() public {
        Receipt memory r = completed(terms, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        address[4] memory side = [renter, renterKey, provider, providerKey];
        for (uint256 i = 0; i < side.length; ++i) {
            uint256 here = vm.snapshotState();
            vm.prank(side[i]);
            if (i < 2) escrow.settle(terms, r, "", providerSays);
            else escrow.settle(terms, r, renterSays, "");
            assertState(terms, State.Settled);
            vm.assertGe(balance(side[i]), CLOSE_FEE, "closeFee goes to the sender");
            vm.revertToState(here);
        }
    }

    function test_S3_needs_both_sides() public {
        Receipt memory r = completed(terms, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        bytes memory ownSays = sign(RENTER, r);
        bytes memory coldSays = sign(PROVIDER, r);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.settle(terms, r, ownSays, providerSays);
        vm.expectRevert(IEscrow.ProviderConsentMissing.selector);
        escrow.settle(terms, r, renterSays, coldSays);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.settle(terms, r, "", providerSays);
        vm.expectRevert(IEscrow.ProviderConsentMissing.selector);
        escrow.settle(terms, r, renterSays, "");
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        vm.prank(provider);
        escrow.settle(terms, r, "", "");
        vm.expectRevert(IEscrow.ProviderConsentMissing.selector);
        vm.prank(renter);
        escrow.settle(terms, r, "", "");
    }

    function test_S3_key_revoked_after_the_opening_still_settles() public {
        vm.prank(provider);
        providers.revoke(providerKey);
        doSettle(terms, completed(terms, 20));
        assertSettledAt(terms, 20_000);
    }

    function test_B1_amount_is_within_rate_and_lock_and_time() public {
        Receipt memory r = receiptOf(terms, 20_001, 20, Outcome.Completed);
        refused(r, abi.encodeWithSelector(IEscrow.AmountAboveRate.selector, 20_001, 20_000));
        uint40 most = 400 + LEAD - 30;
        r = completed(terms, most + 1);
        refused(r, abi.encodeWithSelector(IEscrow.SecondsAboveTime.selector, most + 1));
        doSettle(terms, completed(terms, most));
        assertSettledAt(terms, uint256(most) * 1_000);
    }

    function test_B1_amount_is_within_the_lock() public {
        vm.warp(NOW + 3_000);
        Receipt memory r = completed(terms, 2_001);
        refused(r, abi.encodeWithSelector(IEscrow.AmountAboveLocked.selector, 2_001_000, CAP));
    }

    function test_B1_charge_is_rounded_down() public {
        Terms memory t = someTerms();
        (t.nonce, t.ratePerHour) = (2, 3_599);
        vm.warp(NOW);
        doOpen(t);
        vm.warp(NOW + 400);
        Receipt memory r = receiptOf(t, 1, 1, Outcome.Completed);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AmountAboveRate.selector, 1, 0));
        escrow.settle(t, r, renterSays, providerSays);
        doSettle(t, receiptOf(t, 1, 2, Outcome.Completed));
    }

    function test_M7_settled_is_for_ever() public {
        Receipt memory r = completed(terms, 20);
        doSettle(terms, r);
        refused(r, abi.encodeWithSelector(IEscrow.WrongState.selector, State.Settled));
        bytes memory renterSays = sign(RENTER, id);
        bytes memory bid = sign(PROVIDER_KEY, id);
        vm.warp(NOW);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongState.selector, State.Settled));
        escrow.open(terms, renterSays, bid);
    }

    function test_refuses_a_receipt_of_another_deal() public {
        Receipt memory r = completed(terms, 20);
        r.deal = "another";
        refused(r, abi.encodeWithSelector(IEscrow.WrongDeal.selector, r.deal));
    }

    function refused(Receipt memory r, bytes memory why) private {
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        vm.expectRevert(why);
        escrow.settle(terms, r, renterSays, providerSays);
    }
}
