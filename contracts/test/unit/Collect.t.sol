// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `collect`: fees are pulled by whoever asks, to the receiver alone.
contract CollectTest is Stage {
    function setUp() public override {
        super.setUp();
        Terms memory t = someTerms();
        doOpen(t);
        vm.warp(NOW + 100);
        doSettle(t, completed(t, 100));
    }

    function test_anyone_sends_the_fees_to_the_treasury() public {
        vm.expectEmit(address(escrow));
        emit IBalances.Collected(address(dollar), treasury, 3_000);
        vm.prank(stranger);
        escrow.collect(address(dollar));
        vm.assertEq(dollar.balanceOf(treasury), 3_000, "received");
        vm.assertEq(escrow.fees(address(dollar)), 0, "left");
        escrow.collect(address(dollar));
        vm.assertEq(dollar.balanceOf(treasury), 3_000, "once");
    }

    function test_goes_where_the_plaza_says_now() public {
        vm.prank(owner);
        plaza.setFeeReceiver(stranger);
        escrow.collect(address(dollar));
        vm.assertEq(dollar.balanceOf(stranger), 3_000, "received");
    }

    function test_not_to_nobody_and_not_to_the_escrow() public {
        address[2] memory wrong = [address(0), address(escrow)];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.prank(owner);
            plaza.setFeeReceiver(wrong[i]);
            vm.expectRevert(abi.encodeWithSelector(IBalances.WrongReceiver.selector, wrong[i]));
            escrow.collect(address(dollar));
        }
        vm.assertEq(escrow.fees(address(dollar)), 3_000, "kept");
    }
}
