// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Receipt, Terms} from "./Deal.sol";

/// @dev The most items of one batch.
uint256 constant MAX_BATCH = 200;

/// @dev One deal to be opened.
struct Opening {
    Terms terms;
    uint256 grant; // which of the batch's grants it is opened in, counted from 0
}

/// @dev One deal to be settled.
struct Closing {
    Terms terms;
    Receipt receipt;
}
