// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Pulling tokens by their owner's signature
library AuthorizedPullLib {
    /// @dev Pull `amount` from `from` by ERC-3009 (validAfter 0), and measure what really came in.
    /// The caller compares, and lets no two measurements overlap.
    function pull(
        address token,
        address from,
        uint256 amount,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) internal returns (uint256 received) {
        (uint8 v, bytes32 r, bytes32 s) = ECDSA.parseCalldata(signature);

        uint256 before = IERC20(token).balanceOf(address(this));
        IERC3009(token)
            .receiveWithAuthorization(from, address(this), amount, 0, validBefore, nonce, v, r, s);
        return IERC20(token).balanceOf(address(this)) - before;
    }
}
