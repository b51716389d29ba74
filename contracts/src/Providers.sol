// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";

import {IProviders} from "./interfaces/IProviders.sol";
import {AuthorizedPullLib} from "./libraries/AuthorizedPullLib.sol";
import {ConsentLib} from "./libraries/ConsentLib.sol";
import {Intent} from "./types/Intent.sol";

/// @title Providers
/// @notice See `IProviders`.
contract Providers is IProviders, EIP712, ReentrancyGuardTransient {
    using BitMaps for BitMaps.BitMap;
    using SafeERC20 for IERC20;

    bytes32 private constant AUTHORIZATION_TYPEHASH =
        keccak256("Authorization(address provider,address key)");

    bytes32 private constant REGISTER_TYPEHASH = keccak256(
        "Register(address provider,address key,address token,uint64 nonce,uint40 deadline,"
        "uint96 fee)"
    );

    /// @inheritdoc IProviders
    mapping(address key => address) public providerOf;

    mapping(address provider => BitMaps.BitMap) private _nonces;

    constructor() EIP712("Plaza", "1") {}

    /// @inheritdoc IProviders
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IProviders
    function isAuthorised(address provider, address key) external view returns (bool) {
        return provider != address(0) && providerOf[key] == provider;
    }

    /// @inheritdoc IProviders
    function authorisation(address provider, address key) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(AUTHORIZATION_TYPEHASH, provider, key)));
    }

    /// @inheritdoc IProviders
    function nonceUsed(address provider, uint64 nonce) external view returns (bool) {
        return _nonces[provider].get(nonce);
    }

    /// @inheritdoc IProviders
    function register(address providerKey, bytes calldata keySignature) external {
        _register(msg.sender, providerKey, keySignature);
    }

    /// @inheritdoc IProviders
    function registerFor(
        address provider,
        address providerKey,
        bytes calldata keySignature,
        address token,
        Intent calldata intent,
        bytes calldata signature,
        bytes calldata feeAuthorization
    ) external nonReentrant {
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(REGISTER_TYPEHASH, provider, providerKey, token, intent))
        );
        require(ConsentLib.isBy(provider, digest, signature), AccountConsentMissing(provider));
        require(block.timestamp <= intent.deadline, IntentExpired(intent.deadline));
        require(!_nonces[provider].get(intent.nonce), NonceUsed(provider, intent.nonce));

        _nonces[provider].set(intent.nonce);
        _register(provider, providerKey, keySignature);

        if (intent.fee == 0) return;
        uint256 received = AuthorizedPullLib.pull(
            token, provider, intent.fee, uint256(intent.deadline) + 1, digest, feeAuthorization
        );
        require(received == intent.fee, WrongAmountReceived(received, intent.fee));
        IERC20(token).safeTransfer(msg.sender, intent.fee);
    }

    /// @inheritdoc IProviders
    function revoke(address providerKey) external {
        _revoke(providerKey);
    }

    /// @inheritdoc IProviders
    function rotate(address oldKey, address newKey, bytes calldata keySignature) external {
        _revoke(oldKey);
        _register(msg.sender, newKey, keySignature);
    }

    function _register(address provider, address key, bytes calldata signature) private {
        address serves = providerOf[key];
        require(serves == address(0) || serves == provider, KeyTaken(key, serves));
        bytes32 digest = authorisation(provider, key);
        require(ConsentLib.isBy(key, digest, signature), ConsentMissing(key));
        providerOf[key] = provider;
        emit Registered(provider, key);
    }

    function _revoke(address key) private {
        require(providerOf[key] == msg.sender, KeyNotYours(key, msg.sender));
        delete providerOf[key];
        emit Revoked(msg.sender, key);
    }
}
