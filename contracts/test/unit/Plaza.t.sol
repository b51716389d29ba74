// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {Admission, IPlaza} from "../../src/interfaces/IPlaza.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice The root contract: modules, tokens, the present fee, pauses that end by themselves.
contract PlazaTest is Stage {
    function test_says_in_one_call_what_opening_depends_on() public view {
        Admission memory a = plaza.admission(address(dollar));
        vm.assertEq(a.escrow, address(escrow), "escrow");
        vm.assertEq(a.feeBps, FEE_BPS, "fee");
        vm.assertEq(a.listed, true, "listed");
        vm.assertEq(a.paused, false, "paused");
    }

    function test_is_the_domain_of_offers_and_orders() public view {
        vm.assertEq(plaza.domainSeparator(), domainOf("Plaza", address(plaza)), "domain separator");
    }

    function test_only_the_owner_sets() public {
        bytes[7] memory calls = [
            abi.encodeCall(IPlaza.setModule, ("escrow", stranger)),
            abi.encodeCall(IPlaza.setListed, (stranger, true)),
            abi.encodeCall(IPlaza.setFee, (1)),
            abi.encodeCall(IPlaza.setFeeReceiver, (stranger)),
            abi.encodeCall(IPlaza.setProfile, ("profile")),
            abi.encodeCall(IPlaza.setGuardian, (stranger)),
            abi.encodeCall(IPlaza.resumeOpens, ())
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(stranger);
            (bool done, bytes memory why) = address(plaza).call(calls[i]);
            vm.assertTrue(!done, "a stranger");
            vm.assertEq(
                keccak256(why),
                keccak256(
                    abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger)
                ),
                "reason"
            );
            vm.prank(owner);
            (done,) = address(plaza).call(calls[i]);
            vm.assertTrue(done, "the owner");
        }
        vm.assertEq(plaza.modules("escrow"), stranger, "module");
        vm.assertEq(plaza.listed(stranger), true, "listed");
        vm.assertEq(plaza.feeBps(), 1, "fee");
        vm.assertEq(plaza.feeReceiver(), stranger, "receiver");
        vm.assertEq(plaza.profile(), "profile", "profile");
        vm.assertEq(plaza.guardian(), stranger, "guardian");
    }

    function test_events_state_what_holds_now() public {
        vm.expectEmit(address(plaza));
        emit IPlaza.ModuleSet("escrow", address(escrow), stranger);
        vm.prank(owner);
        plaza.setModule("escrow", stranger);
        vm.expectEmit(address(plaza));
        emit IPlaza.OpensPaused(NOW + 5);
        vm.prank(owner);
        plaza.pauseOpens(5);
    }

    function test_B2_fee_stays_within_its_bound() public {
        vm.expectRevert(
            abi.encodeWithSelector(IPlaza.FeeAboveBound.selector, MAX_FEE_BPS + 1, MAX_FEE_BPS)
        );
        vm.prank(owner);
        plaza.setFee(MAX_FEE_BPS + 1);
        vm.prank(owner);
        plaza.setFee(MAX_FEE_BPS);
        vm.assertEq(plaza.feeBps(), MAX_FEE_BPS, "the bound itself");
    }

    function test_B2_bound_of_the_fee_is_at_most_the_whole() public {
        deployPlaza(10_000, 10_000);
        vm.expectRevert();
        this.deploy(10_001, 0);
        vm.expectRevert();
        this.deploy(100, 101);
    }

    function test_B2_pause_ends_after_at_most_seven_days() public {
        vm.expectRevert(abi.encodeWithSelector(IPlaza.PauseTooLong.selector, 7 days + 1, 7 days));
        vm.prank(owner);
        plaza.pauseOpens(7 days + 1);
        vm.prank(owner);
        plaza.pauseOpens(7 days);
        vm.warp(NOW + 7 days - 1);
        vm.assertEq(plaza.admission(address(dollar)).paused, true, "still");
        vm.warp(NOW + 7 days);
        vm.assertEq(plaza.admission(address(dollar)).paused, false, "ended by itself");
    }

    function test_guardian_pauses_and_only_the_owner_resumes() public {
        vm.prank(owner);
        plaza.setGuardian(stranger);
        vm.prank(stranger);
        plaza.pauseOpens(100);
        vm.expectRevert(abi.encodeWithSelector(IPlaza.PauseShortened.selector, NOW + 99, NOW + 100));
        vm.prank(stranger);
        plaza.pauseOpens(99);
        vm.prank(owner);
        plaza.resumeOpens();
        vm.assertEq(plaza.admission(address(dollar)).paused, false, "resumed");
        vm.expectRevert(abi.encodeWithSelector(IPlaza.NotGuardian.selector, renter));
        vm.prank(renter);
        plaza.pauseOpens(1);
    }

    function test_ownership_changes_in_two_steps() public {
        vm.prank(owner);
        Ownable2Step(address(plaza)).transferOwnership(stranger);
        vm.assertEq(Ownable(address(plaza)).owner(), owner, "not yet");
        vm.prank(stranger);
        Ownable2Step(address(plaza)).acceptOwnership();
        vm.assertEq(Ownable(address(plaza)).owner(), stranger, "accepted");
    }

    function test_B2_escrow_windows_are_bounded() public {
        deployEscrow(1, 0);
        deployEscrow(30 days, 1 days);
        vm.expectRevert();
        this.deployWindows(0, 60);
        vm.expectRevert();
        this.deployWindows(30 days + 1, 60);
        vm.expectRevert();
        this.deployWindows(60, 1 days + 1);
    }

    function deploy(uint16 bound, uint16 fee) external {
        deployPlaza(bound, fee);
    }

    function deployWindows(uint40 window, uint40 lead) external {
        deployEscrow(window, lead);
    }
}
