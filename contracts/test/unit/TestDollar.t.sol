// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice The test stablecoin: permits and authorisations as the real ones have them.
contract TestDollarTest is Stage {
    bytes32 private constant NONCE = "nonce";

    function setUp() public override {
        super.setUp();
        give(renter, 1_000);
    }

    function test_is_a_dollar_of_six_decimals() public view {
        vm.assertEq(dollar.name(), "Test Dollar", "name");
        vm.assertEq(dollar.symbol(), "TUSD", "symbol");
        vm.assertEq(dollar.decimals(), 6, "decimals");
        vm.assertEq(dollar.DOMAIN_SEPARATOR(), domainOf("Test Dollar", address(dollar)), "domain");
    }

    function test_only_the_owner_mints() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, renter));
        vm.prank(renter);
        dollar.mint(renter, 1);
    }

    function test_permit_sets_an_allowance_by_signature() public {
        bytes32 digest = digestIn(
            domainOf("Test Dollar", address(dollar)),
            keccak256(
                abi.encode(
                    keccak256(
                        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                    ),
                    renter,
                    address(escrow),
                    70,
                    0,
                    NOW
                )
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(RENTER, digest);
        dollar.permit(renter, address(escrow), 70, NOW, v, r, s);
        vm.assertEq(dollar.allowance(renter, address(escrow)), 70, "allowance");
    }

    function test_transfers_by_authorization_in_both_forms() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(RENTER, moves("Transfer", stranger, NONCE));
        dollar.transferWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, v, r, s);
        bytes memory says = sign(RENTER, moves("Transfer", stranger, "second"));
        dollar.transferWithAuthorization(renter, stranger, 10, 0, NOW + 1, "second", says);
        vm.assertEq(dollar.balanceOf(stranger), 20, "received");
    }

    function test_only_the_receiver_takes_what_was_authorized_to_receive() public {
        bytes memory says = sign(RENTER, moves("Receive", stranger, NONCE));
        vm.expectRevert();
        dollar.receiveWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, says);
        vm.prank(stranger);
        dollar.receiveWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, says);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(RENTER, moves("Receive", stranger, "second"));
        vm.expectRevert();
        dollar.receiveWithAuthorization(renter, stranger, 10, 0, NOW + 1, "second", v, r, s);
        vm.prank(stranger);
        dollar.receiveWithAuthorization(renter, stranger, 10, 0, NOW + 1, "second", v, r, s);
        vm.assertEq(dollar.balanceOf(stranger), 20, "received");
    }

    function test_authorization_is_used_once_and_in_its_time() public {
        bytes memory says = sign(RENTER, moves("Transfer", stranger, NONCE));
        vm.warp(NOW + 1);
        vm.expectRevert();
        dollar.transferWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, says);
        vm.warp(NOW);
        dollar.transferWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, says);
        vm.expectRevert();
        dollar.transferWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, says);
    }

    function test_authorization_can_be_cancelled() public {
        bytes memory says = sign(RENTER, moves("Transfer", stranger, NONCE));
        bytes32 digest = digestIn(
            domainOf("Test Dollar", address(dollar)),
            keccak256(
                abi.encode(
                    keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"),
                    renter,
                    NONCE
                )
            )
        );
        bytes memory wrong = sign(STRANGER, digest);
        vm.expectRevert();
        dollar.cancelAuthorization(renter, NONCE, wrong);
        dollar.cancelAuthorization(renter, NONCE, sign(RENTER, digest));
        vm.assertEq(dollar.authorizationState(renter, NONCE), true, "used up");
        vm.expectRevert();
        dollar.transferWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, says);
    }

    function test_another_signer_moves_nothing() public {
        bytes memory says = sign(STRANGER, moves("Transfer", stranger, NONCE));
        vm.expectRevert();
        dollar.transferWithAuthorization(renter, stranger, 10, 0, NOW + 1, NONCE, says);
    }

    /// @dev The digest of moving 10 units from the renter before NOW + 1.
    function moves(string memory verb, address to, bytes32 nonce) private view returns (bytes32) {
        string memory members =
            "WithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
        return digestIn(
            domainOf("Test Dollar", address(dollar)),
            keccak256(
                abi.encode(
                    keccak256(bytes(string.concat(verb, members))),
                    renter,
                    to,
                    10,
                    0,
                    NOW + 1,
                    nonce
                )
            )
        );
    }
}
