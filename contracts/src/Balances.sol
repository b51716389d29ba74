// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";

import {IBalances} from "./interfaces/IBalances.sol";
import {IPlaza} from "./interfaces/IPlaza.sol";
import {AuthorizedPullLib} from "./libraries/AuthorizedPullLib.sol";
import {ConsentLib} from "./libraries/ConsentLib.sol";
import {HashLib} from "./libraries/HashLib.sol";
import {Intent} from "./types/Intent.sol";

/// @title Balances
/// @notice See `IBalances`.
/// @dev Every function goes: checks, effects, event, transfer. Functions that move tokens are not
/// reentrant, so that no two measurements of one increase overlap.
abstract contract Balances is IBalances, EIP712, ReentrancyGuardTransient {
    using BitMaps for BitMaps.BitMap;
    using SafeERC20 for IERC20;

    /* IMMUTABLES */

    /// @inheritdoc IBalances
    address public immutable plaza;

    /* STORAGE */

    /// @inheritdoc IBalances
    mapping(address token => mapping(address account => uint256)) public balanceOf;

    /// @inheritdoc IBalances
    mapping(address token => uint256) public fees;

    mapping(address account => BitMaps.BitMap) private _nonces;

    /* CONSTRUCTION */

    constructor(address plaza_) EIP712("Plaza", "1") {
        plaza = plaza_;
    }

    /* READING */

    /// @inheritdoc IBalances
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IBalances
    function nonceUsed(address account, uint64 nonce) external view returns (bool) {
        return _nonces[account].get(nonce);
    }

    /* MOVING */

    /// @inheritdoc IBalances
    function deposit(address token, address account, uint256 amount) external nonReentrant {
        _credit(token, account, amount);

        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _requireExact(IERC20(token).balanceOf(address(this)) - before, amount);
    }

    /// @inheritdoc IBalances
    function depositWithAuthorization(
        address token,
        address account,
        uint256 amount,
        uint256 validBefore,
        bytes32 salt,
        bytes calldata signature
    ) external nonReentrant {
        _credit(token, account, amount);

        bytes32 nonce = keccak256(abi.encodePacked("deposit", salt));
        _pullAuthorized(token, account, amount, validBefore, nonce, signature);
    }

    /// @inheritdoc IBalances
    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        _withdraw(token, msg.sender, to, amount);
    }

    /// @inheritdoc IBalances
    function withdrawFor(
        address account,
        address token,
        uint256 amount,
        address to,
        Intent calldata intent,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 structHash = HashLib.hashWithdraw(account, token, amount, to, intent);
        bytes32 digest = _hashTypedDataV4(structHash);
        require(ConsentLib.isBy(account, digest, signature), AccountConsentMissing(account));
        _requireTimely(intent);

        _useNonce(account, intent.nonce);
        _payFee(token, account, intent.fee);
        _withdraw(token, account, to, amount);
    }

    /// @inheritdoc IBalances
    function collect(address token) external nonReentrant {
        address receiver = IPlaza(plaza).feeReceiver();
        require(receiver != address(0) && receiver != address(this), WrongReceiver(receiver));

        uint256 amount = fees[token];
        fees[token] = 0;

        emit Collected(token, receiver, amount);
        IERC20(token).safeTransfer(receiver, amount);
    }

    /* INTENTS */

    function _requireTimely(Intent calldata intent) internal view {
        require(block.timestamp <= intent.deadline, IntentExpired(intent.deadline));
    }

    function _useNonce(address account, uint64 nonce) internal {
        require(!_nonces[account].get(nonce), NonceUsed(account, nonce));
        _nonces[account].set(nonce);
    }

    /// @dev `account`, which signed for it, pays the sender.
    function _payFee(address token, address account, uint96 fee) internal {
        if (fee == 0) return;
        _debit(token, account, fee);
        balanceOf[token][msg.sender] += fee;

        emit Relayed(token, account, msg.sender, fee);
    }

    /* EFFECTS */

    function _credit(address token, address account, uint256 amount) private {
        uint256 balance = balanceOf[token][account] + amount;
        balanceOf[token][account] = balance;

        emit Deposited(token, account, amount, balance);
    }

    function _debit(address token, address account, uint256 amount) internal {
        uint256 balance = balanceOf[token][account];
        require(amount <= balance, InsufficientBalance(balance, amount));
        balanceOf[token][account] = balance - amount;
    }

    /* TRANSFERS */

    function _withdraw(address token, address account, address to, uint256 amount) private {
        require(to != address(this), WrongReceiver(to));

        _debit(token, account, amount);

        emit Withdrawn(token, account, to, amount, balanceOf[token][account]);
        IERC20(token).safeTransfer(to, amount);
    }

    function _pullAuthorized(
        address token,
        address from,
        uint256 amount,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) internal {
        uint256 received = AuthorizedPullLib.pull(
            token, from, amount, validBefore, nonce, signature
        );
        _requireExact(received, amount);
    }

    function _requireExact(uint256 received, uint256 amount) private pure {
        require(received == amount, WrongAmountReceived(received, amount));
    }
}
