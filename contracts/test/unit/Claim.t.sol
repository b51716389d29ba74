// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Deal, Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `claim`: the provider asks for its due without the renter.
contract ClaimTest is Stage {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = someTerms();
        id = doOpen(terms);
        vm.warp(NOW + 100);
    }

    function test_sets_the_floor_and_the_extra_and_opens_a_window() public {
        Receipt memory r = running(terms, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        vm.expectEmit(address(escrow));
        emit IEscrow.Claimed(id, 20_000, 30, NOW + 100 + WINDOW, 20, 0, r.meter);
        vm.prank(provider);
        escrow.claim(terms, r, renterSays, "", 30);
        Deal memory slot = slotOf(terms);
        vm.assertEq(uint256(slot.state), uint256(State.Claimed), "state");
        vm.assertEq(slot.floor, 20_000, "floor");
        vm.assertEq(slot.extra, 30, "extra");
        vm.assertEq(slot.until, NOW + 100 + WINDOW, "until");
        vm.assertEq(slot.locked, CAP, "locked");
    }

    function test_by_provider_or_its_key_with_or_without_its_signature() public {
        Receipt memory r = running(terms, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        address[2] memory side = [provider, providerKey];
        bytes[2] memory says = [bytes(""), providerSays];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 here = vm.snapshotState();
            vm.prank(side[i % 2]);
            escrow.claim(terms, r, renterSays, says[i / 2], 0);
            assertState(terms, State.Claimed);
            vm.revertToState(here);
        }
    }

    function test_S3_by_nobody_else() public {
        Receipt memory r = running(terms, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        address[3] memory others = [renter, renterKey, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IEscrow.NotProvider.selector, others[i]));
            vm.prank(others[i]);
            escrow.claim(terms, r, renterSays, providerSays, 0);
            vm.expectRevert(abi.encodeWithSelector(IEscrow.NotProvider.selector, others[i]));
            vm.prank(others[i]);
            escrow.claimFloor(terms);
        }
    }

    function test_S3_needs_the_renters_key_on_the_receipt() public {
        Receipt memory r = running(terms, 20);
        bytes memory ownSays = sign(RENTER, r);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        vm.prank(provider);
        escrow.claim(terms, r, ownSays, "", 0);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        vm.prank(provider);
        escrow.claim(terms, r, "", "", 0);
    }

    function test_S3_a_wrong_signature_of_its_own_is_refused() public {
        Receipt memory r = running(terms, 20);
        bytes memory renterSays = sign(RENTER_KEY, r);
        vm.expectRevert(IEscrow.ProviderConsentMissing.selector);
        vm.prank(provider);
        escrow.claim(terms, r, renterSays, renterSays, 0);
    }

    function test_M1_cannot_lower_the_floor() public {
        doPresent(terms, running(terms, 20));
        Receipt memory r = running(terms, 19);
        refused(r, 0, abi.encodeWithSelector(IEscrow.BelowFloor.selector, 19_000, 20_000));
        doClaim(terms, running(terms, 20), 0);
        vm.assertEq(slotOf(terms).floor, 20_000, "equal is enough");
    }

    function test_B1_extra_is_at_most_grace() public {
        vm.warp(NOW + 300);
        Receipt memory r = running(terms, 20);
        bytes memory why = abi.encodeWithSelector(IEscrow.ExtraAboveGrace.selector, 61, GRACE);
        refused(r, GRACE + 1, why);
        doClaim(terms, r, GRACE);
        vm.assertEq(slotOf(terms).extra, GRACE, "extra");
    }

    function test_B1_seconds_and_extra_can_have_passed() public {
        uint40 most = 100 + LEAD - 30;
        Receipt memory r = running(terms, most - 10);
        refused(r, 11, abi.encodeWithSelector(IEscrow.SecondsAboveTime.selector, most + 1));
        doClaim(terms, r, 10);
    }

    function test_B1_amount_is_within_rate_and_lock() public {
        Receipt memory r = receiptOf(terms, 20_001, 20, Outcome.Running);
        refused(r, 0, abi.encodeWithSelector(IEscrow.AmountAboveRate.selector, 20_001, 20_000));
        vm.warp(NOW + 2_100);
        r = running(terms, 2_001);
        refused(r, 0, abi.encodeWithSelector(IEscrow.AmountAboveLocked.selector, 2_001_000, CAP));
    }

    function test_needs_a_running_receipt_of_this_deal() public {
        Receipt memory r = completed(terms, 20);
        refused(r, 0, abi.encodeWithSelector(IEscrow.WrongOutcome.selector, r.outcome));
        r = running(terms, 20);
        r.deal = "another";
        refused(r, 0, abi.encodeWithSelector(IEscrow.WrongDeal.selector, r.deal));
    }

    function test_without_a_receipt_at_the_floor_as_it_is() public {
        doPresent(terms, running(terms, 20));
        vm.expectEmit(address(escrow));
        emit IEscrow.Claimed(id, 20_000, 0, NOW + 100 + WINDOW, 0, 0, 0);
        doClaimFloor(terms);
        vm.assertEq(slotOf(terms).extra, 0, "no extra without a receipt");
    }

    function test_of_a_stopped_deal_renews_the_window_once() public {
        doStop(terms);
        vm.warp(NOW + 100 + WINDOW - 1);
        doClaim(terms, running(terms, 20), 0);
        vm.assertEq(slotOf(terms).until, NOW + 100 + 2 * WINDOW - 1, "until");
        bytes memory why = abi.encodeWithSelector(IEscrow.WrongState.selector, State.Claimed);
        refused(running(terms, 21), 0, why);
        vm.expectRevert(why);
        vm.prank(provider);
        escrow.claimFloor(terms);
    }

    function test_while_open_until_the_deadline() public {
        vm.warp(DEADLINE);
        bytes memory why = abi.encodeWithSelector(IEscrow.TooLate.selector, DEADLINE);
        refused(running(terms, 20), 0, why);
        vm.expectRevert(why);
        vm.prank(provider);
        escrow.claimFloor(terms);
        vm.warp(DEADLINE - 1);
        doClaim(terms, running(terms, 20), GRACE);
    }

    function test_while_stopped_until_the_end_of_the_window() public {
        doStop(terms);
        vm.warp(NOW + 100 + WINDOW);
        bytes memory why = abi.encodeWithSelector(IEscrow.TooLate.selector, NOW + 100 + WINDOW);
        refused(running(terms, 20), 0, why);
    }

    function refused(Receipt memory r, uint16 extra, bytes memory why) private {
        bytes memory renterSays = sign(RENTER_KEY, r);
        vm.expectRevert(why);
        vm.prank(provider);
        escrow.claim(terms, r, renterSays, "", extra);
    }
}
