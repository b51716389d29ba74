// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Intent} from "../types/Intent.sol";
import {Session, SessionUse} from "../types/Session.sol";

/// @title What a renter lets a key spend
/// @notice A session is known by the EIP-712 digest of its document; the document comes with each
/// call in which its key acts, and one slot of use is stored. The renter's signature of the document
/// comes with the first opening in it and is remembered in that slot, so that the others need none.
///
/// used += cap + openFee + closeFee when a deal is opened in the session, used += amount when it is
/// topped up, used -= refund when it is settled. What the key does leaves used <= cap. The renter may
/// top up beyond the cap, and that counts too.
/// @custom:invariant U1 used = what is locked and kept in the session's live deals, with their
/// openFees, plus what its settled deals have cost.
/// @custom:invariant U2 used <= cap after every call in which the key acted.
interface ISessions {
    /* EVENTS: each states what holds after it */

    /// @notice The contract has seen the renter's consent to `document`; said once a session.
    event SessionGranted(
        bytes32 indexed session, address indexed renter, address indexed key, Session document
    );

    /// @notice `used` of the session's cap is held or spent.
    event SessionUsed(bytes32 indexed session, uint128 used);

    /// @notice No deal in the session opens or grows any more.
    event SessionRevoked(bytes32 indexed session, address indexed renter);

    /* ERRORS */

    /// @notice The terms name another session, or the session is for another renter, key or token.
    error WrongSession(bytes32 session);

    /// @notice The renter has not signed the session.
    error UngrantedSession(bytes32 session);

    /// @notice The session is revoked.
    error RevokedSession(bytes32 session);

    /// @notice The key could act before `expiry`.
    error ExpiredSession(uint40 expiry);

    /// @notice The key may not bring what is used above the cap.
    error AboveSessionCap(uint256 used, uint96 cap);

    /// @notice The terms ask for more than the session's highest rate.
    error AboveSessionRate(uint96 ratePerHour, uint96 maxRatePerHour);

    /// @notice Only the renter itself can do this.
    error NotRenter(address sender);

    /* READING */

    /// @notice The id of a session: its EIP-712 digest.
    function sessionId(Session calldata session) external view returns (bytes32);

    /// @notice The slot of a session.
    function sessions(bytes32 id) external view returns (SessionUse memory);

    /* ENDING */

    /// @notice By the renter: no deal in the session opens or grows from now on, for ever; also where
    /// none ever did. Deals that are open go on and end as agreed.
    /// @custom:invariant S3
    function revoke(Session calldata session) external;

    /// @notice The same by the renter's signature over EIP-712 `Revoke(bytes32 session,uint64 nonce,
    /// uint40 deadline,uint96 fee)`. The fee is in the session's token.
    function revokeFor(Session calldata session, Intent calldata intent, bytes calldata signature)
        external;
}
