// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IProviders} from "./interfaces/IProviders.sol";

/// @title Providers
/// @notice See `IProviders`.
contract Providers is IProviders, EIP712 {
    bytes32 private constant AUTHORIZATION_TYPEHASH =
        keccak256("Authorization(address provider,address key)");

    /// @inheritdoc IProviders
    mapping(address key => address) public providerOf;

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
    function register(address providerKey, bytes calldata keySignature) external {
        _register(providerKey, keySignature);
    }

    /// @inheritdoc IProviders
    function revoke(address providerKey) external {
        _revoke(providerKey);
    }

    /// @inheritdoc IProviders
    function rotate(address oldKey, address newKey, bytes calldata keySignature) external {
        _revoke(oldKey);
        _register(newKey, keySignature);
    }

    function _register(address key, bytes calldata signature) private {
        address serves = providerOf[key];
        require(serves == address(0) || serves == msg.sender, KeyTaken(key, serves));
        (address signer, ECDSA.RecoverError failure,) =
            ECDSA.tryRecoverCalldata(authorisation(msg.sender, key), signature);
        require(failure == ECDSA.RecoverError.NoError && signer == key, ConsentMissing(key));
        providerOf[key] = msg.sender;
        emit Registered(msg.sender, key);
    }

    function _revoke(address key) private {
        require(providerOf[key] == msg.sender, KeyNotYours(key, msg.sender));
        delete providerOf[key];
        emit Revoked(msg.sender, key);
    }
}
