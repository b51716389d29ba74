// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Intent} from "../types/Intent.sol";

/// @title Money inside an Escrow, and what its owners sign to move it
/// @notice Deposits and withdrawals need no native coin: an account may sign instead of sending. What
/// it signs for others to send is an intent; `...For` takes one and otherwise does what the function
/// without the suffix does. Every intent carries a nonce, a deadline until which it may be sent, and
/// a fee to whoever sends it, out of the signer's balance. Stop, Contest, Cancel and Revoke can happen
/// once, so only the nonces of the others are stored. An intent is signed by a plain key.
/// @custom:invariant S1 The contract holds at least all balances, all that is locked, and the fees.
interface IBalances {
    /* EVENTS: each states what holds after it */

    /// @notice `account` deposited; its balance is now `balance`.
    event Deposited(
        address indexed token, address indexed account, uint256 amount, uint256 balance
    );

    /// @notice `account` withdrew to `to`; its balance is now `balance`.
    event Withdrawn(
        address indexed token,
        address indexed account,
        address indexed to,
        uint256 amount,
        uint256 balance
    );

    /// @notice All fees accrued in `token` went to `receiver`.
    event Collected(address indexed token, address indexed receiver, uint256 amount);

    /// @notice `sender` carried an intent of `account` here and got `fee` of its balance for it. Not
    /// said where the fee is zero.
    event Relayed(
        address indexed token, address indexed account, address indexed sender, uint96 fee
    );

    /* ERRORS */

    /// @notice The account has less than that.
    error InsufficientBalance(uint256 balance, uint256 needed);

    /// @notice The token delivered another amount than asked for.
    error WrongAmountReceived(uint256 received, uint256 expected);

    /// @notice Money cannot go to that account.
    error WrongReceiver(address receiver);

    /// @notice The account has not signed that.
    error AccountConsentMissing(address account);

    /// @notice The intent could be sent until `deadline`.
    error IntentExpired(uint40 deadline);

    /// @notice An intent of the account with this nonce was carried out.
    error NonceUsed(address account, uint64 nonce);

    /* READING */

    /// @notice The domain of all that is signed for this contract: "Plaza", "1", this chain, this
    /// contract.
    function domainSeparator() external view returns (bytes32);

    /// @notice The root of the network. It decides what opens, never how an open deal ends.
    function plaza() external view returns (address);

    /// @notice What `account` may withdraw or open deals with, in base units.
    function balanceOf(address token, address account) external view returns (uint256);

    /// @notice The fees accrued and not yet collected, in base units.
    function fees(address token) external view returns (uint256);

    /// @notice Whether a Withdraw or TopUp of `account` with this nonce was carried out. Nonces are
    /// free to choose; those that follow one another share a slot by 256 and so cost less.
    function nonceUsed(address account, uint64 nonce) external view returns (bool);

    /* MOVING */

    /// @notice Deposit `amount` of the sender's tokens, which it approved, for `account`.
    /// @custom:invariant S1 The balance grows by what has really come in, or the call reverts.
    function deposit(address token, address account, uint256 amount) external;

    /// @notice Deposit by the account's signature (ERC-3009) instead of its transaction.
    /// @param token The token; has `receiveWithAuthorization`.
    /// @param account Whose tokens are deposited and who is credited.
    /// @param amount In base units.
    /// @param validBefore The authorisation holds before this time (Unix seconds); validAfter is 0.
    /// @param salt Any; the authorisation's nonce is keccak256("deposit" || salt), so that the
    /// consent to a deal, whose nonce is the deal's id, cannot be used up as a deposit.
    /// @param signature The account's over the token's `ReceiveWithAuthorization` to this contract.
    /// @custom:invariant S1
    function depositWithAuthorization(
        address token,
        address account,
        uint256 amount,
        uint256 validBefore,
        bytes32 salt,
        bytes calldata signature
    ) external;

    /// @notice Send `amount` of the sender's balance to `to`.
    /// @custom:invariant L2 L3
    function withdraw(address token, address to, uint256 amount) external;

    /// @notice Send `amount` of the account's balance to `to`, beside the fee.
    /// @param signature The account's over EIP-712 `Withdraw(address account,address token,
    /// uint256 amount,address to,uint64 nonce,uint40 deadline,uint96 fee)`.
    /// @custom:invariant S3 L2 L3
    function withdrawFor(
        address account,
        address token,
        uint256 amount,
        address to,
        Intent calldata intent,
        bytes calldata signature
    ) external;

    /// @notice Send the fees accrued in `token` to the receiver that the Plaza names.
    /// @custom:invariant L3 A receiver that cannot take them stops nobody else.
    function collect(address token) external;
}
