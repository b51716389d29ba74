// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @title What usage costs and who gets it
/// @dev Rounding is in the name: charges and fees are rounded down, so nobody pays more than signed.
library ChargeLib {
    /// @dev floor(ratePerHour x elapsed / 3600), in base units. Cannot overflow: 2^96 x 2^40.
    function chargeDown(uint96 ratePerHour, uint40 elapsed) internal pure returns (uint256) {
        return uint256(ratePerHour) * elapsed / 1 hours;
    }

    /// @dev `amount` of `locked` is due: the network gets floor(amount x feeBps / 10,000) of it, the
    /// provider the rest, the renter what is not due. Assumes amount <= locked, feeBps <= 10,000.
    function splitDown(uint96 amount, uint96 locked, uint16 feeBps)
        internal
        pure
        returns (uint96 paid, uint96 fee, uint96 refund)
    {
        // forge-lint: disable-next-line(unsafe-typecast) -- at most `amount`, which is 96 bits
        fee = uint96(uint256(amount) * feeBps / 10_000);
        paid = amount - fee;
        refund = locked - amount;
    }
}
