// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev A token that anyone mints, to build bad ones on.
abstract contract LooseToken is ERC20("Loose", "LOOSE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @dev Delivers 1 % less than was sent.
contract FeeTakingToken is LooseToken {
    function _update(address from, address to, uint256 value) internal override {
        if (from == address(0) || to == address(0)) return super._update(from, to, value);
        super._update(from, address(0), value / 100);
        super._update(from, to, value - value / 100);
    }
}

/// @dev Says false and moves nothing.
contract FalseReturningToken is LooseToken {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @dev Says true and moves nothing.
contract LyingToken is LooseToken {
    function transfer(address, uint256) public pure override returns (bool) {
        return true;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @dev Refuses whoever its issuer does not like, as stablecoins do.
contract BlacklistingToken is LooseToken {
    mapping(address account => bool) public refused;

    function refuse(address account) external {
        refused[account] = true;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(!refused[from] && !refused[to], "refused");
        super._update(from, to, value);
    }
}

/// @dev Calls back into `target` in the middle of a transfer, once, and takes a fee of `taken`.
contract CallingToken is LooseToken {
    address private _target;
    bytes private _call;
    uint256 private _taken;
    bool public succeeded;

    function arm(address target, bytes calldata call, uint256 taken) external {
        (_target, _call, _taken) = (target, call, taken);
    }

    function _update(address from, address to, uint256 value) internal override {
        address target = _target;
        if (target == address(0)) return super._update(from, to, value);
        uint256 taken = _taken;
        (_target, _taken) = (address(0), 0);
        (succeeded,) = target.call(_call);
        super._update(from, address(0xfee), taken);
        super._update(from, to, value - taken);
    }
}
