// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Admission, IPlaza} from "./interfaces/IPlaza.sol";

/// @title Plaza
/// @notice See `IPlaza`.
contract Plaza is IPlaza, EIP712, Ownable2Step {
    /* CONSTANTS */

    /// @dev Kind of the module through which deals are opened.
    bytes32 public constant ESCROW = "escrow";

    /// @dev Kind of the module that authorises provider keys.
    bytes32 public constant PROVIDERS = "providers";

    /// @dev The longest pause of opens, in seconds.
    uint40 public constant MAX_PAUSE = 7 days;

    /* TYPES */

    /// @dev What every open reads, in one slot.
    struct Gate {
        address escrow; // the module through which deals are opened
        uint16 feeBps;
        uint40 pausedUntil;
    }

    /* STORAGE */

    /// @inheritdoc IPlaza
    uint16 public immutable maxFeeBps;

    /// @inheritdoc IPlaza
    address public feeReceiver;

    /// @inheritdoc IPlaza
    address public guardian;

    /// @inheritdoc IPlaza
    bytes32 public profile;

    /// @inheritdoc IPlaza
    mapping(address token => bool) public listed;

    Gate private _gate;

    /// @dev All modules but the Escrow, which is in the gate.
    mapping(bytes32 kind => address) private _modules;

    /* CONSTRUCTION */

    /// @param owner Sets everything below; a key at first, a timelock later.
    /// @param profile_ Hash of the network's constitution.
    /// @param maxFeeBps_ Highest fee ever, at most 10,000.
    /// @param feeBps_ Fee at first.
    /// @param feeReceiver_ Where collected fees go at first.
    constructor(
        address owner,
        bytes32 profile_,
        uint16 maxFeeBps_,
        uint16 feeBps_,
        address feeReceiver_
    ) EIP712("Plaza", "1") Ownable(owner) {
        require(maxFeeBps_ <= 10_000, FeeAboveBound(maxFeeBps_, 10_000));
        maxFeeBps = maxFeeBps_;
        _setProfile(profile_);
        _setFee(feeBps_);
        _setFeeReceiver(feeReceiver_);
    }

    /* READING */

    /// @inheritdoc IPlaza
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IPlaza
    function modules(bytes32 kind) public view returns (address) {
        return kind == ESCROW ? _gate.escrow : _modules[kind];
    }

    /// @inheritdoc IPlaza
    function feeBps() external view returns (uint16) {
        return _gate.feeBps;
    }

    /// @inheritdoc IPlaza
    function pausedUntil() external view returns (uint40) {
        return _gate.pausedUntil;
    }

    /// @inheritdoc IPlaza
    function admission(address token) external view returns (Admission memory) {
        Gate memory gate = _gate;
        return Admission({
            escrow: gate.escrow,
            feeBps: gate.feeBps,
            listed: listed[token],
            paused: block.timestamp < gate.pausedUntil
        });
    }

    /* OWNER */

    /// @inheritdoc IPlaza
    function setModule(bytes32 kind, address module) external onlyOwner {
        address previous = modules(kind);
        if (kind == ESCROW) _gate.escrow = module;
        else _modules[kind] = module;
        emit ModuleSet(kind, previous, module);
    }

    /// @inheritdoc IPlaza
    function setListed(address token, bool isListed) external onlyOwner {
        listed[token] = isListed;
        emit TokenListed(token, isListed);
    }

    /// @inheritdoc IPlaza
    function setFee(uint16 newFeeBps) external onlyOwner {
        _setFee(newFeeBps);
    }

    /// @inheritdoc IPlaza
    function setFeeReceiver(address receiver) external onlyOwner {
        _setFeeReceiver(receiver);
    }

    /// @inheritdoc IPlaza
    function setProfile(bytes32 newProfile) external onlyOwner {
        _setProfile(newProfile);
    }

    /// @inheritdoc IPlaza
    function setGuardian(address newGuardian) external onlyOwner {
        guardian = newGuardian;
        emit GuardianSet(newGuardian);
    }

    /// @inheritdoc IPlaza
    function resumeOpens() external onlyOwner {
        _setPausedUntil(uint40(block.timestamp));
    }

    /* GUARDIAN */

    /// @inheritdoc IPlaza
    function pauseOpens(uint40 duration) external {
        require(msg.sender == guardian || msg.sender == owner(), NotGuardian(msg.sender));
        require(duration <= MAX_PAUSE, PauseTooLong(duration, MAX_PAUSE));
        uint40 until = uint40(block.timestamp) + duration;
        uint40 present = _gate.pausedUntil;
        require(until >= present, PauseShortened(until, present));
        _setPausedUntil(until);
    }

    /* SETTING */

    function _setFee(uint16 newFeeBps) private {
        require(newFeeBps <= maxFeeBps, FeeAboveBound(newFeeBps, maxFeeBps));
        _gate.feeBps = newFeeBps;
        emit FeeSet(newFeeBps);
    }

    function _setFeeReceiver(address receiver) private {
        feeReceiver = receiver;
        emit FeeReceiverSet(receiver);
    }

    function _setProfile(bytes32 newProfile) private {
        profile = newProfile;
        emit ProfileSet(newProfile);
    }

    function _setPausedUntil(uint40 until) private {
        _gate.pausedUntil = until;
        emit OpensPaused(until);
    }
}
