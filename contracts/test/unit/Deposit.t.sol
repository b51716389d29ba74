// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `deposit`, plain and by authorisation: balances grow by what really arrived.
contract DepositTest is Stage {
    function test_S1_credits_the_account_named() public {
        give(stranger, 50);
        vm.prank(stranger);
        dollar.approve(address(escrow), 50);
        vm.expectEmit(address(escrow));
        emit IBalances.Deposited(address(dollar), renter, 50, FUNDS + 50);
        vm.prank(stranger);
        escrow.deposit(address(dollar), renter, 50);
        vm.assertEq(balance(renter), FUNDS + 50, "balance");
        vm.assertEq(balance(stranger), 0, "the payer's balance");
        vm.assertEq(dollar.balanceOf(address(escrow)), FUNDS + 50, "S1");
    }

    function test_S1_without_allowance_nothing_is_credited() public {
        give(stranger, 50);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(escrow), 0, 50
            )
        );
        vm.prank(stranger);
        escrow.deposit(address(dollar), stranger, 50);
    }

    function test_with_authorization_credits_the_signer() public {
        give(renter, 50);
        bytes memory says = consent(50, "salt");
        vm.expectEmit(address(escrow));
        emit IBalances.Deposited(address(dollar), renter, 50, FUNDS + 50);
        vm.prank(stranger);
        escrow.depositWithAuthorization(address(dollar), renter, 50, NOW + 60, "salt", says);
        vm.assertEq(balance(renter), FUNDS + 50, "balance");
        vm.assertEq(dollar.balanceOf(renter), 0, "wallet");
    }

    function test_S3_authorization_is_used_once_and_as_signed() public {
        give(renter, 200);
        bytes memory says = consent(50, "salt");
        vm.expectRevert();
        escrow.depositWithAuthorization(address(dollar), renter, 51, NOW + 60, "salt", says);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(dollar), stranger, 50, NOW + 60, "salt", says);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(dollar), renter, 50, NOW + 61, "salt", says);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(dollar), renter, 50, NOW + 60, "other", says);
        escrow.depositWithAuthorization(address(dollar), renter, 50, NOW + 60, "salt", says);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(dollar), renter, 50, NOW + 60, "salt", says);
    }

    function test_S3_consent_to_a_deal_cannot_be_used_up_as_a_deposit() public {
        Terms memory t = someTerms();
        uint256 value = uint256(CAP) + OPEN_FEE + CLOSE_FEE;
        give(renter, value);
        bytes memory says = authorization(t);
        bytes32 id = escrow.dealId(t);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(dollar), renter, value, ACCEPT_BY + 1, id, says);
        bytes memory bid = sign(PROVIDER_KEY, t);
        escrow.openWithAuthorization(t, says, bid);
    }

    function test_authorization_in_another_form_is_refused() public {
        give(renter, 50);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(dollar), renter, 50, NOW + 60, "salt", "short");
    }

    function test_of_something_that_is_no_token_is_refused() public {
        vm.expectRevert();
        escrow.deposit(stranger, renter, 1);
    }

    function consent(uint256 amount, bytes32 salt) private view returns (bytes memory) {
        bytes32 nonce = keccak256(abi.encodePacked("deposit", salt));
        return sign(RENTER, receiveDigest(address(dollar), renter, amount, NOW + 60, nonce));
    }
}
