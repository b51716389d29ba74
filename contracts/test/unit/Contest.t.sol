// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Outcome, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `contest`: the renter refuses the seconds claimed beyond the floor.
contract ContestTest is Stage {
    Terms private terms;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        terms = someTerms();
        id = doOpen(terms);
        vm.warp(NOW + 200);
        doClaim(terms, running(terms, 20), GRACE);
    }

    function test_refuses_the_extra_and_pays_the_floor() public {
        bytes memory says = sign(RENTER_KEY, contestDigest(id));
        vm.expectEmit(address(escrow));
        emit IEscrow.Settled(id, stranger, 19_400, 600, CAP - 20_000, 0, Outcome.Running, 0, 0);
        vm.prank(stranger);
        escrow.contestFor(terms, freely(), says);
        assertSettledAt(terms, 20_000);
    }

    function test_by_renter_or_its_key_as_sender() public {
        address[2] memory side = [renter, renterKey];
        for (uint256 i = 0; i < side.length; ++i) {
            uint256 here = vm.snapshotState();
            vm.prank(side[i]);
            escrow.contest(terms);
            assertState(terms, State.Settled);
            vm.revertToState(here);
        }
    }

    function test_S3_by_nobody_else() public {
        address[3] memory others = [provider, providerKey, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(IEscrow.RenterConsentMissing.selector);
            vm.prank(others[i]);
            escrow.contest(terms);
        }
        bytes memory says = sign(RENTER_KEY, stopDigest(id));
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.contestFor(terms, freely(), says);
    }

    function test_until_the_end_of_the_window() public {
        bytes memory says = sign(RENTER_KEY, contestDigest(id));
        vm.warp(NOW + 200 + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooLate.selector, NOW + 200 + WINDOW));
        escrow.contestFor(terms, freely(), says);
        vm.warp(NOW + 200 + WINDOW - 1);
        doContest(terms);
        assertSettledAt(terms, 20_000);
    }
}
