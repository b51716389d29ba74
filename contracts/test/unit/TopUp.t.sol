// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ISessions} from "../../src/interfaces/ISessions.sol";
import {Deal, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `topUp`: more is locked and nothing else is touched.
contract TopUpTest is Stage {
    function test_adds_to_what_is_locked_and_touches_nothing_else() public {
        Terms memory t = someTerms();
        bytes32 id = doOpen(t);
        vm.warp(NOW + 100);
        doPresent(t, running(t, 20));
        Deal memory before = slotOf(t);
        uint256 had = balance(renter);
        vm.expectEmit(address(escrow));
        emit IEscrow.ToppedUp(id, 5, CAP + 5);
        vm.prank(renter);
        escrow.topUp(t, 5);
        before.locked += 5;
        vm.assertEq(keccak256(abi.encode(slotOf(t))), keccak256(abi.encode(before)), "slot");
        vm.assertEq(balance(renter), had - 5, "balance");
    }

    function test_B1_receipts_may_then_exceed_the_cap() public {
        Terms memory t = someTerms();
        t.cap = 10_000;
        doOpen(t);
        vm.warp(NOW + 100);
        vm.prank(renter);
        escrow.topUp(t, 10_000);
        doSettle(t, completed(t, 20));
        assertSettledAt(t, 20_000);
    }

    function test_S3_only_the_renter_tops_up() public {
        Terms memory t = someTerms();
        doOpen(t);
        address[4] memory others = [renterKey, provider, providerKey, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISessions.NotRenter.selector, others[i]));
            vm.prank(others[i]);
            escrow.topUp(t, 1);
        }
    }

    function test_ends_at_expiry() public {
        Terms memory t = someTerms();
        doOpen(t);
        vm.warp(EXPIRY - 1);
        vm.prank(renter);
        escrow.topUp(t, 1);
        vm.warp(EXPIRY);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooLate.selector, EXPIRY));
        vm.prank(renter);
        escrow.topUp(t, 1);
    }

    function test_is_paused_with_opens() public {
        Terms memory t = someTerms();
        doOpen(t);
        vm.prank(owner);
        plaza.pauseOpens(10);
        vm.expectRevert(IEscrow.OpensPaused.selector);
        vm.prank(renter);
        escrow.topUp(t, 1);
        vm.warp(NOW + 10);
        vm.prank(renter);
        escrow.topUp(t, 1);
    }

    function test_needs_the_balance_and_does_not_wrap() public {
        Terms memory t = someTerms();
        doOpen(t);
        uint256 left = balance(renter);
        vm.expectRevert(
            abi.encodeWithSelector(IBalances.InsufficientBalance.selector, left, left + 1)
        );
        vm.prank(renter);
        escrow.topUp(t, uint96(left + 1));
        fund(renter, type(uint96).max);
        vm.expectRevert();
        vm.prank(renter);
        escrow.topUp(t, type(uint96).max);
    }
}
