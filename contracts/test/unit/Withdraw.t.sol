// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `withdraw`: a balance leaves to the receiver its owner names.
contract WithdrawTest is Stage {
    function test_sends_to_the_receiver_named() public {
        vm.expectEmit(address(escrow));
        emit IBalances.Withdrawn(address(dollar), renter, stranger, 50, FUNDS - 50);
        vm.prank(renter);
        escrow.withdraw(address(dollar), stranger, 50);
        vm.assertEq(dollar.balanceOf(stranger), 50, "received");
        vm.assertEq(balance(renter), FUNDS - 50, "balance");
    }

    function test_S3_nobody_withdraws_what_it_has_not() public {
        bytes4 selector = IBalances.InsufficientBalance.selector;
        vm.expectRevert(abi.encodeWithSelector(selector, 0, 1));
        vm.prank(renterKey);
        escrow.withdraw(address(dollar), renterKey, 1);
        vm.expectRevert(abi.encodeWithSelector(selector, FUNDS, FUNDS + 1));
        vm.prank(renter);
        escrow.withdraw(address(dollar), renter, FUNDS + 1);
    }

    function test_S3_what_is_locked_cannot_be_withdrawn() public {
        Terms memory t = someTerms();
        doOpen(t);
        uint256 left = balance(renter);
        vm.expectRevert(
            abi.encodeWithSelector(IBalances.InsufficientBalance.selector, left, left + 1)
        );
        vm.prank(renter);
        escrow.withdraw(address(dollar), renter, left + 1);
    }

    function test_not_to_nobody_and_not_to_the_escrow() public {
        vm.expectRevert();
        vm.prank(renter);
        escrow.withdraw(address(dollar), address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IBalances.WrongReceiver.selector, address(escrow)));
        vm.prank(renter);
        escrow.withdraw(address(dollar), address(escrow), 1);
    }
}
