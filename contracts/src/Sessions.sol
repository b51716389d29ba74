// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Balances} from "./Balances.sol";
import {ISessions} from "./interfaces/ISessions.sol";
import {ConsentLib} from "./libraries/ConsentLib.sol";
import {HashLib} from "./libraries/HashLib.sol";
import {Intent} from "./types/Intent.sol";
import {Session, SessionUse} from "./types/Session.sol";

/// @title Sessions
/// @notice See `ISessions`.
abstract contract Sessions is Balances, ISessions {
    using HashLib for Session;

    /* STORAGE */

    mapping(bytes32 id => SessionUse) private _sessions;

    /* READING */

    /// @inheritdoc ISessions
    function sessionId(Session calldata session) public view returns (bytes32) {
        return _hashTypedDataV4(session.hash());
    }

    /// @inheritdoc ISessions
    function sessions(bytes32 id) external view returns (SessionUse memory) {
        return _sessions[id];
    }

    /* ENDING */

    /// @inheritdoc ISessions
    function revoke(Session calldata session) external {
        require(msg.sender == session.renter, NotRenter(msg.sender));

        _revoke(sessionId(session), session.renter);
    }

    /// @inheritdoc ISessions
    function revokeFor(Session calldata session, Intent calldata intent, bytes calldata signature)
        external
    {
        bytes32 id = sessionId(session);
        bytes32 digest = _hashTypedDataV4(HashLib.hashRevoke(id, intent));
        address renter = session.renter;
        require(ConsentLib.isBy(renter, digest, signature), AccountConsentMissing(renter));
        _requireTimely(intent);

        _revoke(id, renter);
        _payFee(session.token, renter, intent.fee);
    }

    function _revoke(bytes32 id, address renter) private {
        SessionUse storage use = _sessions[id];
        require(!use.revoked, RevokedSession(id));
        use.revoked = true;

        emit SessionRevoked(id, renter);
    }

    /* GRANTING */

    /// @dev Remember the renter's consent if `signature` is it; without it no use follows. `wallets`
    /// says whether contracts are asked.
    function _grant(Session calldata session, bytes32 id, bytes calldata signature, bool wallets)
        internal
    {
        SessionUse storage use = _sessions[id];
        if (use.granted) return;
        address renter = session.renter;
        bool sent = signature.length == 0 && msg.sender == renter;
        if (!sent && !_consents(renter, id, signature, wallets)) return;
        use.granted = true;

        emit SessionGranted(id, renter, session.key, session);
    }

    function _consents(address renter, bytes32 id, bytes calldata signature, bool wallets)
        private
        view
        returns (bool)
    {
        return wallets
            ? ConsentLib.isByAny(renter, id, signature)
            : ConsentLib.isBy(renter, id, signature);
    }

    /* USE */

    /// @dev The key uses `amount` of a session that was granted.
    function _useByKey(Session calldata session, bytes32 id, uint256 amount) internal {
        SessionUse memory use = _sessions[id];
        require(use.granted, UngrantedSession(id));
        require(block.timestamp < session.expiry, ExpiredSession(session.expiry));
        require(use.used + amount <= session.cap, AboveSessionCap(use.used + amount, session.cap));
        _use(id, use, amount);
    }

    /// @dev The renter itself uses `amount`, whatever the cap.
    function _useByRenter(bytes32 id, uint256 amount) internal {
        _use(id, _sessions[id], amount);
    }

    function _use(bytes32 id, SessionUse memory use, uint256 amount) private {
        require(!use.revoked, RevokedSession(id));
        // forge-lint: disable-next-line(unsafe-typecast) -- sums of at most three 96-bit numbers
        use.used += uint128(amount);
        _sessions[id] = use;

        emit SessionUsed(id, use.used);
    }

    /// @dev `refund` of what was used came back.
    function _unuse(bytes32 id, uint96 refund) internal {
        uint128 used = _sessions[id].used - refund;
        _sessions[id].used = used;

        emit SessionUsed(id, used);
    }
}
