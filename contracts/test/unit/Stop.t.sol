// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Deal, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `stop`: the renter ends a deal without the provider.
contract StopTest is Stage {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = someTerms();
        id = doOpen(terms);
        vm.warp(NOW + 100);
        doPresent(terms, running(terms, 20));
    }

    function test_opens_a_window_and_keeps_the_floor() public {
        Deal memory before = slotOf(terms);
        vm.expectEmit(address(escrow));
        emit IEscrow.Stopped(id, NOW + 100 + WINDOW);
        vm.prank(renter);
        escrow.stop(terms);
        (before.state, before.until) = (State.Stopped, NOW + 100 + WINDOW);
        vm.assertEq(keccak256(abi.encode(slotOf(terms))), keccak256(abi.encode(before)), "slot");
    }

    function test_by_the_renters_key_as_sender_or_by_its_signature() public {
        uint256 here = vm.snapshotState();
        vm.prank(renterKey);
        escrow.stop(terms);
        assertState(terms, State.Stopped);
        vm.revertToState(here);
        doStop(terms);
        assertState(terms, State.Stopped);
    }

    function test_by_the_renters_own_signature() public {
        bytes memory ownSays = sign(RENTER, stopDigest(id));
        escrow.stopFor(terms, freely(), ownSays);
        assertState(terms, State.Stopped);
    }

    function test_S3_not_by_others() public {
        bytes memory providerSays = sign(PROVIDER_KEY, stopDigest(id));
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.stopFor(terms, freely(), providerSays);
        address[3] memory others = [provider, providerKey, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(IEscrow.RenterConsentMissing.selector);
            vm.prank(others[i]);
            escrow.stop(terms);
        }
    }

    function test_S3_signature_to_contest_or_of_another_deal_does_not_stop() public {
        bytes memory says = sign(RENTER_KEY, contestDigest(id));
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.stopFor(terms, freely(), says);
        says = sign(RENTER_KEY, stopDigest("another"));
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.stopFor(terms, freely(), says);
    }

    function test_once() public {
        doStop(terms);
        bytes memory says = sign(RENTER_KEY, stopDigest(id));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongState.selector, State.Stopped));
        escrow.stopFor(terms, freely(), says);
    }
}
