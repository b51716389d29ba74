// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Test Dollar
/// @notice The stablecoin of local and test networks: what USDC is elsewhere, minted freely by its
/// owner and worth nothing. ERC-20 with 6 decimals, permit (ERC-2612) and transfers by authorisation
/// (ERC-3009) in both forms, with (v, r, s) and with bytes.
/// @dev EIP-712 domain: name "Test Dollar", version "1".
contract TestDollar is ERC20Permit, ERC3009, Ownable {
    constructor(address owner)
        ERC20("Test Dollar", "TUSD")
        ERC20Permit("Test Dollar")
        Ownable(owner)
    {}

    /// @notice The faucet.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice `transferWithAuthorization` with a signature that may also be a contract's (ERC-1271).
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _requireSigned(
            from,
            keccak256(
                abi.encode(
                    TRANSFER_WITH_AUTHORIZATION_TYPEHASH,
                    from,
                    to,
                    value,
                    validAfter,
                    validBefore,
                    nonce
                )
            ),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice `receiveWithAuthorization` with a signature that may also be a contract's (ERC-1271).
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        require(to == msg.sender, ERC20InvalidReceiver(to));
        _requireSigned(
            from,
            keccak256(
                abi.encode(
                    RECEIVE_WITH_AUTHORIZATION_TYPEHASH,
                    from,
                    to,
                    value,
                    validAfter,
                    validBefore,
                    nonce
                )
            ),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice `cancelAuthorization` with a signature that may also be a contract's (ERC-1271).
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature)
        external
    {
        _requireSigned(
            authorizer,
            keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)),
            signature
        );
        _cancelAuthorization(authorizer, nonce);
    }

    function _requireSigned(address account, bytes32 structHash, bytes calldata signature)
        private
        view
    {
        bytes32 digest = _hashTypedDataV4(structHash);
        require(
            SignatureChecker.isValidSignatureNowCalldata(account, digest, signature),
            ERC3009InvalidSignature()
        );
    }
}
