// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `finalize`: anyone ends a deal whose window is over.
contract FinalizeTest is Stage {
    function test_L1_of_a_stopped_deal_pays_the_floor() public {
        Terms memory t = someTerms();
        doOpen(t);
        vm.warp(NOW + 100);
        doPresent(t, running(t, 20));
        doStop(t);
        vm.warp(NOW + 100 + WINDOW);
        doFinalize(t);
        assertSettledAt(t, 20_000);
    }

    function test_L1_of_a_claimed_deal_pays_the_floor_and_the_extra() public {
        Terms memory t = someTerms();
        bytes32 id = doOpen(t);
        vm.warp(NOW + 200);
        doClaim(t, running(t, 20), 45);
        vm.warp(NOW + 200 + WINDOW);
        vm.expectEmit(address(escrow));
        emit IEscrow.Settled(id, stranger, 63_050, 1_950, CAP - 65_000, 0, Outcome.Running, 0, 0);
        doFinalize(t);
        assertSettledAt(t, 65_000);
    }

    function test_B1_extra_ends_at_what_is_locked() public {
        Terms memory t = someTerms();
        t.cap = 50_000;
        doOpen(t);
        vm.warp(NOW + 200);
        doClaim(t, running(t, 20), 31);
        vm.warp(NOW + 200 + WINDOW);
        doFinalize(t);
        assertSettledAt(t, 50_000);
    }

    function test_B1_dearest_rate_does_not_wrap() public {
        Terms memory t = someTerms();
        (t.cap, t.ratePerHour) = (50_000, type(uint96).max);
        doOpen(t);
        vm.warp(NOW + 200);
        doClaim(t, receiptOf(t, 1, 1, Outcome.Running), GRACE);
        vm.warp(NOW + 200 + WINDOW);
        doFinalize(t);
        assertSettledAt(t, 50_000);
    }

    function test_extra_is_rounded_down_by_itself() public {
        Terms memory t = someTerms();
        t.ratePerHour = 3_599; // a second costs 0.9997
        doOpen(t);
        vm.warp(NOW + 200);
        doClaim(t, receiptOf(t, 9, 10, Outcome.Running), 10);
        vm.warp(NOW + 200 + WINDOW);
        doFinalize(t);
        assertSettledAt(t, 18);
    }

    function test_not_before_the_end_of_the_window() public {
        Terms memory t = someTerms();
        doOpen(t);
        doStop(t);
        vm.warp(NOW + WINDOW - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooEarly.selector, NOW + WINDOW));
        escrow.finalize(t);
        doClaimFloor(t);
        vm.warp(NOW + 2 * WINDOW - 2);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooEarly.selector, NOW + 2 * WINDOW - 1));
        escrow.finalize(t);
        vm.warp(NOW + 2 * WINDOW - 1);
        doFinalize(t);
        assertState(t, State.Settled);
    }

    function test_M7_once() public {
        Terms memory t = someTerms();
        doOpen(t);
        doStop(t);
        vm.warp(NOW + WINDOW);
        doFinalize(t);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongState.selector, State.Settled));
        escrow.finalize(t);
    }
}
