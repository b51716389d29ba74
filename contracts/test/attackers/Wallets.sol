// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @dev A contract wallet (ERC-1271) that answers as it is told to.
contract MoodyWallet {
    enum Mood {
        Honest,
        Refusing,
        Reverting,
        Burning,
        Short,
        Long,
        Dirty,
        Silent
    }

    bytes4 private constant MAGIC = 0x1626ba7e;

    Mood public mood;
    mapping(bytes32 digest => bool) public approved;

    function feel(Mood mood_) external {
        mood = mood_;
    }

    function approve(bytes32 digest, bool agrees) external {
        approved[digest] = agrees;
    }

    function make(address target, bytes calldata call) external returns (bool done) {
        (done,) = target.call(call);
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        if (mood == Mood.Honest) return approved[digest] ? MAGIC : bytes4(0xffffffff);
        if (mood == Mood.Refusing) return 0;
        if (mood == Mood.Reverting) revert("no");
        if (mood == Mood.Burning) assembly { invalid() }
        if (mood == Mood.Short) answer(MAGIC, 4);
        if (mood == Mood.Long) answer(MAGIC, 4_096);
        // The magic number with more behind it in its word.
        if (mood == Mood.Dirty) answer(bytes32(MAGIC) | bytes32(uint256(1)), 32);
        answer(0, 0);
    }

    function answer(bytes32 word, uint256 length) private pure {
        assembly {
            mstore(0, word)
            return(0, length)
        }
    }
}
