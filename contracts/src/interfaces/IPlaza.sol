// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @dev What an Escrow has to know of the network to open a deal.
struct Admission {
    address escrow; // the module through which deals are opened at present
    uint16 feeBps; // the fee that new terms must state
    bool listed; // whether deals in the token may be opened
    bool paused; // whether opens are paused
}

/// @title The root of a network
/// @notice Says which contracts are the network's present modules, which tokens are listed, what the
/// present fee is and whether opening is paused. It is also the EIP-712 domain of offers and orders.
/// It holds no money, and nothing it says changes how an open deal ends.
interface IPlaza {
    /// @notice The module of `kind` was `previous` and is `module` from now on.
    event ModuleSet(bytes32 indexed kind, address indexed previous, address indexed module);

    /// @notice Deals in `token` may be opened, or no longer.
    event TokenListed(address indexed token, bool listed);

    /// @notice New terms state `feeBps`.
    event FeeSet(uint16 feeBps);

    /// @notice Collected fees go to `receiver`.
    event FeeReceiverSet(address indexed receiver);

    /// @notice The network's constitution is the one with this hash.
    event ProfileSet(bytes32 indexed profile);

    /// @notice `guardian` may pause opens.
    event GuardianSet(address indexed guardian);

    /// @notice Nothing opens before `until` (Unix seconds); a time that is past means opens go on.
    event OpensPaused(uint40 until);

    /// @notice The fee would be above the bound fixed at construction.
    error FeeAboveBound(uint16 feeBps, uint16 bound);

    /// @notice The pause would be longer than the bound.
    error PauseTooLong(uint40 duration, uint40 bound);

    /// @notice The pause would end before the one that runs; only `resumeOpens` ends a pause early.
    error PauseShortened(uint40 until, uint40 pausedUntil);

    /// @notice Only the guardian or the owner may pause.
    error NotGuardian(address sender);

    /// @notice The separator of the domain of offers and orders: "Plaza", "1", this chain, this
    /// contract.
    function domainSeparator() external view returns (bytes32);

    /// @notice The module of `kind`, a short name such as bytes32("escrow"), or zero.
    function modules(bytes32 kind) external view returns (address);

    /// @notice Whether deals in `token` may be opened.
    function listed(address token) external view returns (bool);

    /// @notice The fee that new terms must state, in hundredths of a per cent.
    function feeBps() external view returns (uint16);

    /// @notice The highest fee this network can ever ask.
    /// @custom:invariant B2
    function maxFeeBps() external view returns (uint16);

    /// @notice Where collected fees go.
    function feeReceiver() external view returns (address);

    /// @notice The hash of the network's constitution.
    function profile() external view returns (bytes32);

    /// @notice Who, beside the owner, may pause opens.
    function guardian() external view returns (address);

    /// @notice Opens are paused before this time (Unix seconds).
    function pausedUntil() external view returns (uint40);

    /// @notice All that opening a deal in `token` depends on, in one call.
    function admission(address token) external view returns (Admission memory);

    /// @notice Point to another module. Open deals stay with the contract they were opened in.
    function setModule(bytes32 kind, address module) external;

    /// @notice List or delist a token for new deals.
    function setListed(address token, bool isListed) external;

    /// @notice Set the fee of new terms.
    /// @custom:invariant B2
    function setFee(uint16 newFeeBps) external;

    /// @notice Set where collected fees go.
    function setFeeReceiver(address receiver) external;

    /// @notice Set the hash of the network's constitution.
    function setProfile(bytes32 newProfile) external;

    /// @notice Set who, beside the owner, may pause opens.
    function setGuardian(address newGuardian) external;

    /// @notice Pause opens for `duration` seconds from now, at most seven days; it ends by itself.
    /// @custom:invariant B2 L2
    function pauseOpens(uint40 duration) external;

    /// @notice End a pause.
    function resumeOpens() external;
}
