// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ISessions} from "../../src/interfaces/ISessions.sol";
import {State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `cancel`: terms that shall never open.
contract CancelTest is Stage {
    function test_M7_cancelled_terms_never_open() public {
        Terms memory t = someTerms();
        bytes32 id = escrow.dealId(t);
        vm.expectEmit(address(escrow));
        emit IEscrow.Cancelled(id, renter, provider);
        vm.prank(renter);
        escrow.cancel(t);
        assertState(t, State.Cancelled);
        bytes memory renterSays = sign(RENTER, id);
        bytes memory bid = sign(PROVIDER_KEY, id);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.WrongState.selector, State.Cancelled));
        escrow.open(t, renterSays, bid);
        vm.assertEq(balance(renter), FUNDS, "no money moved");
    }

    function test_S3_only_the_renter_cancels() public {
        Terms memory t = someTerms();
        address[4] memory others = [renterKey, provider, providerKey, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISessions.NotRenter.selector, others[i]));
            vm.prank(others[i]);
            escrow.cancel(t);
        }
    }

    function test_after_acceptBy_it_is_still_possible() public {
        Terms memory t = someTerms();
        vm.warp(EXPIRY);
        vm.prank(renter);
        escrow.cancel(t);
        assertState(t, State.Cancelled);
    }
}
