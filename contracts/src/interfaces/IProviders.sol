// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Intent} from "../types/Intent.sol";

/// @title Which hot keys may sign for which provider
/// @notice A provider is an account that is paid and may be cold. Its hot keys sign offers, bids and
/// receipts and can never redirect pay. A key serves one provider at a time, and only with its own
/// consent, so nobody can claim another's key. Deals check the key when they are opened and never
/// again: revoking a key leaves open deals as they are.
/// @custom:invariant K1
interface IProviders {
    /// @notice `key` signs for `provider` from now on.
    event Registered(address indexed provider, address indexed key);

    /// @notice `key` no longer signs for `provider`.
    event Revoked(address indexed provider, address indexed key);

    /// @notice The key serves another provider.
    error KeyTaken(address key, address provider);

    /// @notice The key does not serve the sender.
    error KeyNotYours(address key, address sender);

    /// @notice The signature is not the key's over the sender's account.
    error ConsentMissing(address key);

    /// @notice The provider has not signed the intent.
    error AccountConsentMissing(address provider);

    /// @notice The intent could be sent until `deadline`.
    error IntentExpired(uint40 deadline);

    /// @notice An intent of the provider with this nonce was carried out.
    error NonceUsed(address provider, uint64 nonce);

    /// @notice The token delivered another fee than the intent states.
    error WrongAmountReceived(uint256 received, uint256 expected);

    /// @notice The separator of the domain of authorisations: "Plaza", "1", this chain, this contract.
    function domainSeparator() external view returns (bytes32);

    /// @notice The provider that `key` serves, or zero.
    function providerOf(address key) external view returns (address);

    /// @notice Whether `key` signs for `provider` at present.
    function isAuthorised(address provider, address key) external view returns (bool);

    /// @notice The digest that `key` signs to serve `provider`:
    /// EIP-712 `Authorization(address provider,address key)`.
    function authorisation(address provider, address key) external view returns (bytes32);

    /// @notice The sender becomes, or stays, the provider that `providerKey` serves.
    /// @param providerKey The hot key.
    /// @param keySignature The hot key's signature over `authorisation(sender, providerKey)`.
    function register(address providerKey, bytes calldata keySignature) external;

    /// @notice Whether an intent of `provider` with this nonce was carried out.
    function nonceUsed(address provider, uint64 nonce) external view returns (bool);

    /// @notice The same for a provider that signs instead of sending and so needs no native coin.
    /// @param provider Signs, as a plain key, EIP-712 `Register(address provider,address key,
    /// address token,uint64 nonce,uint40 deadline,uint96 fee)`.
    /// @param providerKey The hot key.
    /// @param keySignature The hot key's signature over `authorisation(provider, providerKey)`.
    /// @param token What the fee is paid in; not read where the fee is zero.
    /// @param intent Its fee comes from the provider's wallet.
    /// @param signature The provider's over the intent.
    /// @param feeAuthorization The provider's over the token's `ReceiveWithAuthorization` (ERC-3009):
    /// from = provider, to = this contract, value = fee, validAfter = 0, validBefore = deadline + 1,
    /// nonce = the digest of the intent; empty where the fee is zero.
    /// @custom:invariant K1
    function registerFor(
        address provider,
        address providerKey,
        bytes calldata keySignature,
        address token,
        Intent calldata intent,
        bytes calldata signature,
        bytes calldata feeAuthorization
    ) external;

    /// @notice `providerKey` no longer serves the sender.
    function revoke(address providerKey) external;

    /// @notice Revoke `oldKey` and register `newKey` in one step.
    function rotate(address oldKey, address newKey, bytes calldata keySignature) external;
}
