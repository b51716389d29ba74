// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Who has signed
library ConsentLib {
    /// @dev The plain key that signed `digest`, or zero.
    function signerOf(bytes32 digest, bytes calldata signature) internal pure returns (address) {
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        return failure == ECDSA.RecoverError.NoError ? signer : address(0);
    }

    /// @dev Whether `account`, a plain key, signed `digest`. Zero signs nothing.
    function isBy(address account, bytes32 digest, bytes calldata signature)
        internal
        pure
        returns (bool)
    {
        address signer = signerOf(digest, signature);
        return signer != address(0) && signer == account;
    }

    /// @dev Whether `account` signed `digest` as a plain key or, if it is a contract, says so now
    /// (ERC-1271). The key comes first, so an account that delegates to code (EIP-7702) stays one.
    function isByAny(address account, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        return isBy(account, digest, signature)
            || (account.code.length != 0
                && SignatureChecker.isValidERC1271SignatureNowCalldata(account, digest, signature));
    }
}
