// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Deal, Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";

/// @dev The protocol's table as pure functions over a slot, written a second time: whether a call is
/// allowed, as far as state, time and numbers decide, and what a settlement gives to whom.
library Model {
    struct Windows {
        uint256 dispute;
        uint256 lead;
    }

    function deadline(Terms memory t, Windows memory w) internal pure returns (uint256) {
        return uint256(t.expiry) + t.grace + w.dispute;
    }

    function takesReceipts(Deal memory d, Terms memory t, Windows memory w, uint256 time)
        internal
        pure
        returns (bool)
    {
        if (d.state == State.Open) return time < deadline(t, w);
        return d.state == State.Stopped && time < d.until;
    }

    function within(
        Deal memory d,
        Terms memory t,
        Windows memory w,
        Receipt memory r,
        uint256 extra,
        uint256 time
    ) internal pure returns (bool) {
        uint256 end = time < t.expiry ? time : t.expiry;
        return r.amount <= d.locked
            && uint256(r.amount) * 3600 <= uint256(t.ratePerHour) * r.elapsed
            && uint256(r.elapsed) + extra + t.acceptBy <= end + w.lead;
    }

    function settles(
        Deal memory d,
        Terms memory t,
        Windows memory w,
        Receipt memory r,
        uint256 time
    ) internal pure returns (bool) {
        bool live = d.state != State.None && uint256(d.state) < uint256(State.Settled);
        bool free = r.outcome == Outcome.ProviderFault && r.elapsed < 300;
        return live && r.outcome != Outcome.Running && within(d, t, w, r, 0, time)
            && (!free || r.amount == 0);
    }

    function claimed(Deal memory d, Terms memory t) internal pure returns (uint256) {
        uint256 due = d.floor;
        if (d.state == State.Claimed) due += uint256(t.ratePerHour) * d.extra / 3600;
        return due < d.locked ? due : d.locked;
    }
}
