// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `expire`: an open deal left alone falls to its floor.
contract ExpireTest is Stage {
    function test_L1_renter_is_refunded_when_nobody_came() public {
        Terms memory t = someTerms();
        doOpen(t);
        vm.warp(DEADLINE);
        doExpire(t);
        assertSettledAt(t, 0);
    }

    function test_L1_provider_gets_the_floor_when_both_vanished() public {
        Terms memory t = someTerms();
        doOpen(t);
        vm.warp(NOW + 100);
        doPresent(t, running(t, 20));
        vm.warp(DEADLINE + 100 days);
        doExpire(t);
        assertSettledAt(t, 20_000);
    }

    function test_not_before_expiry_grace_and_window_are_over() public {
        Terms memory t = someTerms();
        doOpen(t);
        vm.warp(DEADLINE - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooEarly.selector, DEADLINE));
        escrow.expire(t);
    }

    function test_longest_terms_do_not_wrap() public {
        Terms memory t = someTerms();
        (t.expiry, t.grace) = (t.acceptBy + 366 days, type(uint16).max);
        doOpen(t);
        uint256 deadline = uint256(t.expiry) + t.grace + WINDOW;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooEarly.selector, deadline));
        escrow.expire(t);
        vm.warp(deadline);
        doExpire(t);
        assertState(t, State.Settled);
    }
}
