// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @dev Every call, in every state before and after its time limit, from every side, with every
/// choice of signatures: it does what the table of the protocol says or it reverts. The table is
/// written down a second time in `wanted`.
contract StateTableTest is Stage {
    enum Call {
        Open,
        OpenWithAuthorization,
        Cancel,
        TopUp,
        Present,
        Stop,
        Claim,
        ClaimFloor,
        Settle,
        Contest,
        Finalize,
        Expire
    }

    struct Cell {
        State state;
        bool late; // the time limit of the state is over
        Call call;
        address sender;
        bool renterSigned;
        bool providerSigned;
    }

    uint256 private tried;
    uint256 private allowed;

    function test_M6_state_none() public {
        everyCell(State.None);
    }

    function test_M6_state_open() public {
        everyCell(State.Open);
    }

    function test_M6_state_stopped() public {
        everyCell(State.Stopped);
    }

    function test_M6_state_claimed() public {
        everyCell(State.Claimed);
    }

    function test_M7_state_settled() public {
        everyCell(State.Settled);
        vm.assertEq(allowed, 0, "no call leaves Settled");
    }

    function test_M7_state_cancelled() public {
        everyCell(State.Cancelled);
        vm.assertEq(allowed, 0, "no call leaves Cancelled");
    }

    function everyCell(State state) private {
        address[5] memory senders = [renter, renterKey, provider, providerKey, stranger];
        uint256 start = vm.snapshotState();
        for (uint256 late = 0; late < 2; ++late) {
            if (late == 1) (tried, allowed) = rewind(start);
            reach(state, late == 1);
            for (uint8 call = 0; call <= uint8(Call.Expire); ++call) {
                for (uint256 i = 0; i < senders.length; ++i) {
                    for (uint256 signed = 0; signed < 4; ++signed) {
                        check(
                            Cell({
                                state: state,
                                late: late == 1,
                                call: Call(call),
                                sender: senders[i],
                                renterSigned: signed & 1 != 0,
                                providerSigned: signed & 2 != 0
                            })
                        );
                    }
                }
            }
        }
        vm.assertEq(tried, 2 * 12 * 5 * 4, "every cell");
    }

    /// @dev Go back to `start` but keep the counts.
    function rewind(uint256 start) private returns (uint256, uint256) {
        (uint256 keptTried, uint256 keptAllowed) = (tried, allowed);
        vm.revertToState(start);
        return (keptTried, keptAllowed);
    }

    /// @dev Be in `state`, before or after the time at which its calls change.
    function reach(State state, bool late) private {
        Terms memory t = someTerms();
        if (state == State.Cancelled) {
            vm.prank(renter);
            escrow.cancel(t);
        } else if (state != State.None) {
            doOpen(t);
            vm.warp(NOW + 200);
            doPresent(t, running(t, 20));
            if (state == State.Stopped) doStop(t);
            if (state == State.Claimed) doClaim(t, running(t, 30), 10);
            if (state == State.Settled) doSettle(t, completed(t, 30));
        }
        if (late && state == State.None) vm.warp(ACCEPT_BY + 1);
        if (late && state == State.Open) vm.warp(DEADLINE);
        if (late && state >= State.Stopped) vm.warp(NOW + 200 + WINDOW);
    }

    function check(Cell memory cell) private {
        State next = wanted(cell);
        uint256 here = vm.snapshotState();
        bytes memory message = callOf(cell);
        vm.prank(cell.sender);
        (bool done,) = address(escrow).call(message);
        State reached = stateOf(someTerms());
        vm.revertToState(here);
        ++tried;
        if (done) ++allowed;
        string memory what = string.concat(
            "state ",
            vm.toString(uint256(cell.state)),
            cell.late ? " late, call " : ", call ",
            vm.toString(uint256(cell.call)),
            " by ",
            vm.toString(cell.sender)
        );
        vm.assertEq(done, next != State.None, what);
        if (done) vm.assertEq(uint256(reached), uint256(next), what);
    }

    /// @dev The protocol's table: the state that follows, or None where the call must revert.
    function wanted(Cell memory c) private view returns (State) {
        bool byRenter = c.sender == renter || c.sender == renterKey;
        bool byProvider = c.sender == provider || c.sender == providerKey;
        bool providerAgrees = c.providerSigned || byProvider;
        bool renterAgrees = c.renterSigned || byRenter;

        if (c.state == State.None) {
            bool opens = providerAgrees && !c.late;
            if (c.call == Call.Open && opens && (c.renterSigned || c.sender == renter)) {
                return State.Open;
            }
            if (c.call == Call.OpenWithAuthorization && opens && c.renterSigned) return State.Open;
            if (c.call == Call.Cancel && c.sender == renter) return State.Cancelled;
        }
        if (c.state == State.Open) {
            if (c.call == Call.TopUp && c.sender == renter && !c.late) return State.Open;
            if (c.call == Call.Stop && renterAgrees) return State.Stopped;
            if (c.call == Call.Expire && c.late) return State.Settled;
        }
        if (c.state == State.Open || c.state == State.Stopped) {
            bool signed = c.renterSigned && c.providerSigned;
            if (c.call == Call.Present && signed && !c.late) return c.state;
            if (c.call == Call.Claim && byProvider && c.renterSigned && !c.late) {
                return State.Claimed;
            }
            if (c.call == Call.ClaimFloor && byProvider && !c.late) return State.Claimed;
        }
        if (c.state == State.Open || c.state == State.Stopped || c.state == State.Claimed) {
            if (c.call == Call.Settle && renterAgrees && providerAgrees) return State.Settled;
        }
        if (c.state == State.Claimed) {
            if (c.call == Call.Contest && renterAgrees && !c.late) return State.Settled;
        }
        if (c.state == State.Stopped || c.state == State.Claimed) {
            if (c.call == Call.Finalize && c.late) return State.Settled;
        }
        return State.None;
    }

    /// @dev The call with the signatures that the cell has; an empty one where it has none.
    function callOf(Cell memory c) private returns (bytes memory) {
        Terms memory t = someTerms();
        bytes32 id = escrow.dealId(t);
        bytes memory bid = c.providerSigned ? sign(PROVIDER_KEY, id) : bytes("");
        if (c.call == Call.Open) {
            return
                abi.encodeCall(
                    IEscrow.open, (t, c.renterSigned ? sign(RENTER, id) : bytes(""), bid)
                );
        }
        if (c.call == Call.OpenWithAuthorization) {
            give(renter, uint256(CAP) + OPEN_FEE + CLOSE_FEE);
            bytes memory consent = c.renterSigned ? authorization(t) : bytes("");
            return abi.encodeCall(IEscrow.openWithAuthorization, (t, consent, bid));
        }
        if (c.call == Call.Stop) {
            if (!c.renterSigned) return abi.encodeCall(IEscrow.stop, (t));
            return abi.encodeCall(IEscrow.stopFor, (t, freely(), sign(RENTER_KEY, stopDigest(id))));
        }
        if (c.call == Call.Contest) {
            if (!c.renterSigned) return abi.encodeCall(IEscrow.contest, (t));
            bytes memory says = sign(RENTER_KEY, contestDigest(id));
            return abi.encodeCall(IEscrow.contestFor, (t, freely(), says));
        }
        if (c.call == Call.Cancel) return abi.encodeCall(IEscrow.cancel, (t));
        if (c.call == Call.TopUp) return abi.encodeCall(IEscrow.topUp, (t, 1));
        if (c.call == Call.ClaimFloor) return abi.encodeCall(IEscrow.claimFloor, (t));
        if (c.call == Call.Finalize) return abi.encodeCall(IEscrow.finalize, (t));
        if (c.call == Call.Expire) return abi.encodeCall(IEscrow.expire, (t));
        return callWithReceipt(c, t);
    }

    function callWithReceipt(Cell memory c, Terms memory t) private view returns (bytes memory) {
        Receipt memory r = c.call == Call.Settle ? completed(t, 40) : running(t, 40);
        bytes memory renterSays = c.renterSigned ? sign(RENTER_KEY, r) : bytes("");
        bytes memory providerSays = c.providerSigned ? sign(PROVIDER_KEY, r) : bytes("");
        if (c.call == Call.Settle) {
            return abi.encodeCall(IEscrow.settle, (t, r, renterSays, providerSays));
        }
        if (c.call == Call.Present) {
            return abi.encodeCall(IEscrow.present, (t, r, renterSays, providerSays));
        }
        return abi.encodeCall(IEscrow.claim, (t, r, renterSays, providerSays, 10));
    }
}
