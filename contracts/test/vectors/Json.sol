// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {vm} from "../Vm.sol";

/// @dev JSON by hand: members in the order given, numbers as decimal strings.
library Json {
    function quoted(string memory value) internal pure returns (string memory) {
        return string.concat('"', value, '"');
    }

    function member(string memory name, string memory json) internal pure returns (string memory) {
        return string.concat(quoted(name), ": ", json);
    }

    function number(string memory name, uint256 value) internal pure returns (string memory) {
        return member(name, quoted(vm.toString(value)));
    }

    function account(string memory name, address value) internal pure returns (string memory) {
        return member(name, quoted(vm.toString(value)));
    }

    function word(string memory name, bytes32 value) internal pure returns (string memory) {
        return member(name, quoted(vm.toString(value)));
    }

    function hexed(string memory name, bytes memory value) internal pure returns (string memory) {
        return member(name, quoted(vm.toString(value)));
    }

    function text(string memory name, string memory value) internal pure returns (string memory) {
        return member(name, quoted(value));
    }

    /// @dev Members or elements, each on a line of its own if `indent` is not empty.
    function joined(string[] memory parts, string memory indent)
        internal
        pure
        returns (string memory all)
    {
        for (uint256 i = 0; i < parts.length; ++i) {
            string memory comma = i + 1 == parts.length ? "" : ",";
            string memory blank = bytes(indent).length == 0 && bytes(comma).length != 0 ? " " : "";
            all = string.concat(all, indent, parts[i], comma, blank);
        }
    }

    function object(string[] memory members, string memory indent, string memory end)
        internal
        pure
        returns (string memory)
    {
        return string.concat("{", joined(members, indent), end, "}");
    }

    function array(string[] memory elements, string memory indent, string memory end)
        internal
        pure
        returns (string memory)
    {
        return string.concat("[", joined(elements, indent), end, "]");
    }
}
