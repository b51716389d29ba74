// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Closing, Opening} from "../types/Batch.sol";
import {Deal, Outcome, Receipt, State, Terms} from "../types/Deal.sol";
import {Intent} from "../types/Intent.sol";
import {Grant, Session} from "../types/Session.sol";
import {IBalances} from "./IBalances.sol";
import {ISessions} from "./ISessions.sol";

/// @title Where the money of deals is held and divided
/// @notice Carries the state table of the deal protocol. A deal is known by the EIP-712 digest of
/// its terms; the terms come with every call and one slot of state is stored.
///
/// Words. W is the dispute window, A the longest lead of `acceptBy` over block time, and
/// D = expiry + grace + W the time from which anyone may end an open deal. The renter's side is a
/// signature of renterKey, or the sender if it is renter or renterKey; the provider's side likewise.
/// Where a call takes a side's signature, empty bytes mean "the sender is that side". Where it takes
/// an intent, the signature is the renter's own or, where said so, that of renterKey, which cannot
/// spend the renter's balance and so states no fee. The fee is in the deal's token.
///
/// A receipt is within bounds when amount <= locked, amount <= floor(ratePerHour x seconds / 3600)
/// and seconds + acceptBy <= min(now, expiry) + A.
///
/// Settled at a: fee = floor(a x feeBps / 10,000); the provider's balance grows by a - fee, the fees
/// by fee, the renter's balance by locked - a, the sender's balance by closeFee; a session's use falls
/// by locked - a.
///
/// Exits (stop, claim, settle, contest, finalize, expire, withdraw) have no pause and, but for
/// withdraw's token transfer, call no other contract.
///
/// Contract wallets (ERC-1271) consent when a deal is opened, to its terms or its session, and are
/// never asked again; everything else that is signed is signed by plain keys.
/// @custom:invariant L1 Permissionless calls alone empty the contract in bounded time.
/// @custom:invariant L4 No call loops, but over the items of a batch, at most 200.
interface IEscrow is IBalances, ISessions {
    /* EVENTS: each states what holds after it */

    /// @notice The deal is Open with `terms.cap` locked. `sender` got `terms.openFee`. `pulled` says
    /// whether the money came from the renter's wallet (ERC-3009) or from its balance.
    event Opened(
        bytes32 indexed id,
        address indexed renter,
        address indexed provider,
        address sender,
        bool pulled,
        Terms terms
    );

    /// @notice The deal is Cancelled: these terms never open.
    event Cancelled(bytes32 indexed id, address indexed renter, address indexed provider);

    /// @notice `amount` more came from the renter's balance; `locked` in all.
    event ToppedUp(bytes32 indexed id, uint96 amount, uint96 locked);

    /// @notice The floor rose to `floor`, by a receipt of `elapsed` seconds.
    event Presented(
        bytes32 indexed id, uint96 floor, uint40 elapsed, bytes32 result, bytes32 meter
    );

    /// @notice The renter's side stopped the deal; from `until` on anyone may finalize.
    event Stopped(bytes32 indexed id, uint40 until);

    /// @notice The provider's side claims `floor` and the pay of `extra` seconds more; from `until`
    /// on anyone may finalize. The last three are those of the receipt, zero without one.
    event Claimed(
        bytes32 indexed id,
        uint96 floor,
        uint16 extra,
        uint40 until,
        uint40 elapsed,
        bytes32 result,
        bytes32 meter
    );

    /// @notice The deal is Settled: paid + fee + refund is what was locked. `sender` got the
    /// closeFee. The last four are those of the terminal receipt; an exit without one (contest,
    /// finalize, expire) states Running and zeros.
    event Settled(
        bytes32 indexed id,
        address sender,
        uint96 paid,
        uint96 fee,
        uint96 refund,
        uint40 elapsed,
        Outcome outcome,
        bytes32 result,
        bytes32 meter
    );

    /// @notice An item of a batch was left out; `reason` is the revert data that it would have had
    /// alone. Empty where its part of the gas did not suffice.
    event Skipped(bytes32 indexed id, bytes reason);

    /* ERRORS */

    /// @notice The dispute window must be 1 second to 30 days, the accept lead at most 1 day.
    error WindowOutOfBounds(uint40 disputeWindow, uint40 acceptLead);

    /// @notice The state table has no such call in this state.
    error WrongState(State state);

    /// @notice The call is possible from `from` on.
    error TooEarly(uint256 from);

    /// @notice The call was possible before `until`.
    error TooLate(uint256 until);

    /// @notice acceptBy must be now or later, at most A ahead.
    error AcceptByOutOfBounds(uint40 acceptBy);

    /// @notice expiry must be later than acceptBy, by at most 366 days.
    error ExpiryOutOfBounds(uint40 expiry);

    /// @notice The cap is zero.
    error ZeroCap();

    /// @notice renterKey or providerKey is zero.
    error ZeroKey();

    /// @notice This Escrow carries leases only.
    error KindRefused(uint8 kind);

    /// @notice Terms with a session are opened by `openInSession` or `openBatch`.
    error SessionRefused(bytes32 session);

    /// @notice Deals are opened in another contract at present.
    error NotPresentEscrow(address present);

    /// @notice Opens are paused for a while.
    error OpensPaused();

    /// @notice The token is not listed.
    error TokenNotListed(address token);

    /// @notice The network's present fee is another.
    error FeeNotPresent(uint16 present);

    /// @notice The provider has not authorised the key.
    error KeyNotAuthorised(address provider, address key);

    /// @notice The renter's side has not agreed.
    error RenterConsentMissing();

    /// @notice The provider's side has not agreed.
    error ProviderConsentMissing();

    /// @notice Only the provider's side can do this.
    error NotProvider(address sender);

    /// @notice The receipt is of another deal.
    error WrongDeal(bytes32 deal);

    /// @notice A terminal receipt where a running one is needed, or the reverse.
    error WrongOutcome(Outcome outcome);

    /// @notice The receipt's amount is more than is locked.
    error AmountAboveLocked(uint96 amount, uint96 locked);

    /// @notice The receipt's amount is more than rate and seconds give.
    error AmountAboveRate(uint96 amount, uint256 charge);

    /// @notice More seconds than can have passed.
    error SecondsAboveTime(uint256 elapsed);

    /// @notice A claim cannot lower the floor.
    error BelowFloor(uint96 amount, uint96 floor);

    /// @notice A claim can add `grace` seconds at most.
    error ExtraAboveGrace(uint16 extra, uint16 grace);

    /// @notice A provider's fault in the first five minutes is free.
    error EarlyFaultIsFree(uint96 amount);

    /// @notice The key cannot spend the renter's balance on a fee.
    error KeyPaysNoFee(uint96 fee);

    /// @notice A batch has 1 to 200 items.
    error BatchSizeOutOfBounds(uint256 size);

    /// @notice Only this contract calls that, for an item of a batch.
    error NotOfBatch(address sender);

    /* READING */

    /// @notice Which keys sign for which provider; fixed, as a network's other Providers comes with
    /// another Escrow.
    function providers() external view returns (address);

    /// @notice W, in seconds.
    function disputeWindow() external view returns (uint40);

    /// @notice A, in seconds.
    function acceptLead() external view returns (uint40);

    /// @notice The slot of a deal.
    function deals(bytes32 id) external view returns (Deal memory);

    /// @notice The id of the deal with these terms: their EIP-712 digest.
    function dealId(Terms calldata terms) external view returns (bytes32);

    /* DEALS */

    /// @notice None -> Open, paid from the renter's balance.
    /// @param renterSignature The renter's own over the terms (ERC-1271 where it is a contract); empty
    /// if the renter is the sender.
    /// @param providerSignature providerKey's over the terms (a bid); empty if the provider's side
    /// is the sender.
    /// @custom:invariant S3 B1 B2
    function open(
        Terms calldata terms,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external;

    /// @notice None -> Open in a session, paid from the renter's balance, within all its bounds.
    /// @param grant The session that the terms name, and the renter's signature over it (ERC-1271
    /// where it is a contract), which is read only in the first opening and may be empty afterwards
    /// or where the renter is the sender.
    /// @param renterSignature renterKey's over the terms, or empty.
    /// @param providerSignature As for `open`.
    /// @custom:invariant S3 B1 B2 U1 U2
    function openInSession(
        Terms calldata terms,
        Grant calldata grant,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external;

    /// @notice None -> Open, paid from the renter's wallet.
    /// @param authorization The renter's signature over the token's `ReceiveWithAuthorization`
    /// (ERC-3009): from = renter, to = this contract, value = cap + openFee + closeFee,
    /// validAfter = 0, validBefore = acceptBy + 1, nonce = the deal's id. It is also the renter's
    /// consent to the terms.
    /// @param providerSignature As for `open`.
    /// @custom:invariant S1 S3 B1 B2
    function openWithAuthorization(
        Terms calldata terms,
        bytes calldata authorization,
        bytes calldata providerSignature
    ) external;

    /// @notice None -> Open for up to 200 deals in sessions of one key, with the consent of each side
    /// to all of them. An item that could not be opened alone is skipped with an event.
    /// @param grants The sessions that the items point to. Contract wallets grant theirs elsewhere.
    /// @param renterSignature renterKey's over EIP-712 `Batch(bytes32[] documents)` of the deals' ids,
    /// or empty.
    /// @param providerSignature providerKey's over the same, or empty.
    /// @custom:invariant S3 B1 B2 U1 U2
    function openBatch(
        Opening[] calldata openings,
        Grant[] calldata grants,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external;

    /// @notice None -> Cancelled, by the renter or the session key that the terms name.
    /// @custom:invariant M7
    function cancel(Terms calldata terms) external;

    /// @notice The same by signature over EIP-712 `Cancel(bytes32 deal,uint64 nonce,uint40 deadline,
    /// uint96 fee)`.
    /// @custom:invariant S3 M7
    function cancelFor(Terms calldata terms, Intent calldata intent, bytes calldata signature)
        external;

    /// @notice Lock more of the renter's balance, by the renter, before expiry. Touches nothing else;
    /// counts in the session that the terms name, whatever its cap.
    /// @custom:invariant S3 B1 U1
    function topUp(Terms calldata terms, uint96 amount) external;

    /// @notice The same by the renter's own signature or, within the session's cap and expiry, by that
    /// of its key, over EIP-712 `TopUp(bytes32 deal,uint96 amount,uint64 nonce,uint40 deadline,
    /// uint96 fee)`.
    /// @param session The session that the terms name; read only where its key acts.
    /// @param intent Without a fee where the key acts.
    /// @param signature Empty if the sender is renter or session key; the intent is then not read.
    /// @custom:invariant S3 B1 U1 U2
    function topUpFor(
        Terms calldata terms,
        uint96 amount,
        Session calldata session,
        Intent calldata intent,
        bytes calldata signature
    ) external;

    /// @notice Raise the floor to a running receipt with both keys' signatures, by anyone, before D
    /// or, once stopped, before `until`. A lower receipt changes nothing.
    /// @custom:invariant M1 B1
    function present(
        Terms calldata terms,
        Receipt calldata receipt,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external;

    /// @notice Open -> Stopped, by the renter or renterKey; a window for the provider to claim begins.
    /// @custom:invariant L1
    function stop(Terms calldata terms) external;

    /// @notice The same by signature of the renter or renterKey over EIP-712 `Stop(bytes32 deal,
    /// uint64 nonce,uint40 deadline,uint96 fee)`.
    /// @custom:invariant S3 L1
    function stopFor(Terms calldata terms, Intent calldata intent, bytes calldata signature)
        external;

    /// @notice Open or Stopped -> Claimed, by the provider's side, with the last running receipt and
    /// at most `grace` seconds beyond it.
    /// @param renterSignature renterKey's over the receipt.
    /// @param providerSignature providerKey's over the receipt, or empty: the sender is its side.
    /// @custom:invariant M1 B1
    function claim(
        Terms calldata terms,
        Receipt calldata receipt,
        bytes calldata renterSignature,
        bytes calldata providerSignature,
        uint16 extra
    ) external;

    /// @notice Open or Stopped -> Claimed, by the provider's side, at the floor as it is.
    /// @custom:invariant M1
    function claimFloor(Terms calldata terms) external;

    /// @notice Open, Stopped or Claimed -> Settled at a terminal receipt that both sides agree to,
    /// even below the floor.
    /// @param renterSignature renterKey's over the receipt, or empty.
    /// @param providerSignature providerKey's over the receipt, or empty.
    /// @custom:invariant C1 B1 M7
    function settle(
        Terms calldata terms,
        Receipt calldata receipt,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external;

    /// @notice The same for up to 200 deals with the consent of each side to all of them. An item
    /// that could not be settled alone is skipped with an event.
    /// @param renterSignature renterKey's over EIP-712 `Batch(bytes32[] documents)` of the receipts'
    /// digests, or empty.
    /// @param providerSignature providerKey's over the same, or empty.
    /// @custom:invariant C1 B1 M7
    function settleBatch(
        Closing[] calldata closings,
        bytes calldata renterSignature,
        bytes calldata providerSignature
    ) external;

    /// @notice Claimed -> Settled at the floor, by the renter or renterKey before `until`.
    /// @custom:invariant C1 M7
    function contest(Terms calldata terms) external;

    /// @notice The same by signature of the renter or renterKey over EIP-712 `Contest(bytes32 deal,
    /// uint64 nonce,uint40 deadline,uint96 fee)`. The refund may pay the fee.
    /// @custom:invariant S3 C1 M7
    function contestFor(Terms calldata terms, Intent calldata intent, bytes calldata signature)
        external;

    /// @notice Stopped -> Settled at the floor, Claimed -> Settled at
    /// min(locked, floor + floor(ratePerHour x extra / 3600)), by anyone from `until` on.
    /// @custom:invariant C1 L1 M7
    function finalize(Terms calldata terms) external;

    /// @notice Open -> Settled at the floor, by anyone from D on.
    /// @custom:invariant C1 L1 M7
    function expire(Terms calldata terms) external;
}
