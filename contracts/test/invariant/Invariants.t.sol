// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Deal, State, Terms} from "../../src/types/Deal.sol";
import {SessionUse} from "../../src/types/Session.sol";
import {vm} from "../Vm.sol";
import {Handler} from "./Handler.sol";

/// @dev What holds after any sequence of calls by anybody.
contract InvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler private handler;

    /// @dev The state and floor that each deal had when it was last looked at.
    mapping(uint256 deal => Deal) private last;

    function setUp() public {
        handler = new Handler();
        handler.setUp();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), calls());
    }

    /// @dev Opening and the passing of time come more often than what ends a deal.
    function calls() private pure returns (bytes4[] memory selectors) {
        selectors = new bytes4[](34);
        selectors[0] = Handler.deposit.selector;
        selectors[1] = Handler.withdraw.selector;
        selectors[2] = Handler.collect.selector;
        selectors[3] = Handler.donate.selector;
        selectors[4] = Handler.changePolicy.selector;
        selectors[5] = Handler.openAgain.selector;
        selectors[6] = Handler.cancel.selector;
        selectors[7] = Handler.topUp.selector;
        selectors[8] = Handler.stop.selector;
        selectors[9] = Handler.stop.selector;
        selectors[10] = Handler.claim.selector;
        selectors[11] = Handler.claim.selector;
        selectors[12] = Handler.claimFloor.selector;
        selectors[13] = Handler.settle.selector;
        selectors[14] = Handler.contest.selector;
        selectors[15] = Handler.finalize.selector;
        selectors[16] = Handler.expire.selector;
        selectors[17] = Handler.present.selector;
        selectors[18] = Handler.present.selector;
        for (uint256 i = 19; i < 22; ++i) {
            selectors[i] = Handler.open.selector;
        }
        for (uint256 i = 22; i < 25; ++i) {
            selectors[i] = Handler.pass.selector;
        }
        selectors[25] = Handler.openInSession.selector;
        selectors[26] = Handler.openInSession.selector;
        selectors[27] = Handler.openBatch.selector;
        selectors[28] = Handler.openBatch.selector;
        selectors[29] = Handler.settleBatch.selector;
        selectors[30] = Handler.settleBatch.selector;
        selectors[31] = Handler.topUpByKey.selector;
        selectors[32] = Handler.withdrawFor.selector;
        selectors[33] = Handler.revoke.selector;
    }

    /// @dev The random calls are worth something: each is both taken and refused, often.
    function test_random_calls_reach_what_they_should() public {
        bytes4[] memory selectors = calls();
        bytes4[12] memory both = [
            IEscrow.open.selector,
            IEscrow.openWithAuthorization.selector,
            IEscrow.topUp.selector,
            IEscrow.present.selector,
            IEscrow.stopFor.selector,
            IEscrow.claim.selector,
            IEscrow.settle.selector,
            IEscrow.contestFor.selector,
            IEscrow.finalize.selector,
            IEscrow.expire.selector,
            IEscrow.openInSession.selector,
            IEscrow.topUpFor.selector
        ];
        uint256[12] memory taken;
        uint256[12] memory refused;
        for (uint256 round = 0; round < 36; ++round) {
            setUp();
            for (uint256 i = 0; i < 96; ++i) {
                uint256 seed = uint256(keccak256(abi.encode(round, i)));
                bytes4 selector = selectors[seed % selectors.length];
                (bool done,) = address(handler).call(abi.encodeWithSelector(selector, seed));
                vm.assertTrue(done, "the handler");
            }
            for (uint256 i = 0; i < both.length; ++i) {
                taken[i] += handler.times(both[i], true);
                refused[i] += handler.times(both[i], false);
            }
        }
        for (uint256 i = 0; i < both.length; ++i) {
            vm.assertGe(taken[i], 5, vm.toString(uint256(i)));
            vm.assertGe(refused[i], 5, vm.toString(uint256(i)));
        }
    }

    function invariant_S1_escrow_holds_all_it_owes() public view {
        uint256 owed = handler.feesInside();
        for (uint256 i = 0; i < 4; ++i) {
            owed += handler.balanceInside(handler.accounts(i));
        }
        for (uint256 i = 0; i < handler.count(); ++i) {
            (Terms memory t,, Deal memory found) = handler.deal(i);
            bool live = found.state != State.Settled && found.state != State.Cancelled;
            owed += found.locked + (live ? t.closeFee : 0);
        }
        vm.assertEq(handler.held(), owed + handler.donated(), "S1");
    }

    function invariant_S3_every_balance_is_what_its_owner_signed_for() public view {
        for (uint256 i = 0; i < 4; ++i) {
            address account = handler.accounts(i);
            vm.assertEq(handler.balanceInside(account), handler.wanted(account), "S3");
        }
        vm.assertEq(handler.feesInside(), handler.wantedFees(), "S3 fees");
    }

    /// @dev Summed anew from the deals: what is held in live ones, and the model's running count.
    function invariant_U1_sessions_use_what_is_held_and_spent() public view {
        for (uint256 i = 0; i < 3; ++i) {
            (uint256 model, SessionUse memory found, bytes32 id) = handler.useOf(i);
            vm.assertEq(found.used, model, "U1");
            uint256 held;
            for (uint256 j = 0; j < handler.count(); ++j) {
                (Terms memory t,, Deal memory deal) = handler.deal(j);
                if (t.session != id || deal.state == State.Cancelled) continue;
                held += uint256(deal.locked) + t.openFee + t.closeFee;
            }
            vm.assertLe(held, found.used, "U1 what is held is used");
            vm.assertEq(found.revoked, handler.wantedEnd(id), "revoked");
        }
    }

    function invariant_C1_settlements_release_what_was_locked() public view {
        vm.assertEq(handler.credited(), handler.released(), "C1");
    }

    function invariant_B1_slots_are_the_models_and_within_the_lock() public view {
        for (uint256 i = 0; i < handler.count(); ++i) {
            (, Deal memory model, Deal memory found) = handler.deal(i);
            vm.assertEq(keccak256(abi.encode(found)), keccak256(abi.encode(model)), "slot");
            vm.assertLe(found.floor, found.locked, "B1");
        }
    }

    function invariant_M1_M6_M7_deals_only_go_forward() public {
        for (uint256 i = 0; i < handler.count(); ++i) {
            (,, Deal memory found) = handler.deal(i);
            Deal memory was = last[i];
            vm.assertGe(uint256(found.state), uint256(was.state), "M6 states never go back");
            if (was.state == State.Settled || was.state == State.Cancelled) {
                vm.assertEq(uint256(found.state), uint256(was.state), "M7 tombstone");
            }
            if (found.state == State.Settled || found.state == State.Cancelled) {
                uint256 rest = uint256(found.locked) + found.floor + found.until + found.extra;
                vm.assertEq(rest, 0, "M7 only the state is left");
            } else {
                vm.assertGe(found.floor, was.floor, "M1 the floor never falls");
                vm.assertGe(found.locked, was.locked, "what is locked never falls");
            }
            last[i] = found;
        }
    }

    /// @dev L1, after every sequence: strangers and owners empty the contract of all but donations.
    function afterInvariant() public {
        handler.drain();
        vm.assertEq(handler.held(), handler.donated(), "L1");
    }
}
