// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";
import {
    BlacklistingToken,
    CallingToken,
    FalseReturningToken,
    FeeTakingToken,
    LooseToken,
    LyingToken
} from "./Tokens.sol";

/// @notice Attacks by tokens and receivers: reentrant, blacklisting, false-returning, fee-taking, donating.
contract AttackersTest is Stage {
    function test_S1_token_that_takes_a_fee_is_refused() public {
        FeeTakingToken token = new FeeTakingToken();
        bytes4 selector = IBalances.WrongAmountReceived.selector;
        cannotBeDeposited(token, abi.encodeWithSelector(selector, 990, 1_000));
    }

    function test_S1_token_that_answers_false_is_refused() public {
        FalseReturningToken token = new FalseReturningToken();
        bytes4 selector = SafeERC20.SafeERC20FailedOperation.selector;
        cannotBeDeposited(token, abi.encodeWithSelector(selector, token));
    }

    function test_S1_token_that_lies_is_refused() public {
        LyingToken token = new LyingToken();
        bytes4 selector = IBalances.WrongAmountReceived.selector;
        cannotBeDeposited(token, abi.encodeWithSelector(selector, 0, 1_000));
    }

    function test_S1_donation_is_nobodys() public {
        Terms memory t = someTerms();
        doOpen(t);
        give(stranger, 777);
        vm.prank(stranger);
        dollar.transfer(address(escrow), 777);
        vm.warp(NOW + 100);
        doSettle(t, completed(t, 20));
        uint256 owed =
            balance(renter) + balance(provider) + balance(stranger) + escrow.fees(address(dollar));
        vm.assertEq(owed, FUNDS, "shares are not measured by what lies there");
        vm.assertEq(dollar.balanceOf(address(escrow)), FUNDS + 777, "S1");
    }

    function test_L3_blacklisted_provider_stops_nobody_else() public {
        BlacklistingToken token = new BlacklistingToken();
        Terms memory t = dealIn(token);
        token.refuse(provider);
        token.refuse(treasury);
        vm.warp(NOW + 100);
        doSettle(t, completed(t, 20));
        assertState(t, State.Settled);
        vm.prank(renter);
        escrow.withdraw(address(token), renter, 1_000);
        vm.expectRevert("refused");
        vm.prank(provider);
        escrow.withdraw(address(token), provider, 1_000);
        vm.expectRevert("refused");
        escrow.collect(address(token));
        vm.prank(provider);
        escrow.withdraw(address(token), stranger, 1_000);
        vm.assertEq(token.balanceOf(stranger), 1_000, "it may name another receiver");
    }

    function test_S1_no_token_call_can_be_entered_from_a_token_call() public {
        CallingToken token = new CallingToken();
        loose(token, renter, 10_000);
        bytes[5] memory calls = [
            abi.encodeCall(IBalances.deposit, (address(token), renter, 1)),
            abi.encodeCall(IBalances.withdraw, (address(token), renter, 0)),
            abi.encodeCall(IBalances.collect, (address(token))),
            abi.encodeCall(
                IBalances.depositWithAuthorization, (address(token), renter, 0, 0, 0, new bytes(65))
            ),
            abi.encodeCall(IEscrow.openWithAuthorization, (someTerms(), "", ""))
        ];
        bytes4 entered = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done, bytes memory why) = enterFrom(token, calls[i]);
            vm.assertTrue(!done, "entered");
            vm.assertEq(keccak256(why), keccak256(abi.encodeWithSelector(entered)), "reason");
        }
    }

    function test_S1_fee_hidden_by_a_deposit_inside_a_deposit_is_refused() public {
        CallingToken token = new CallingToken();
        loose(token, renter, 10_000);
        token.mint(address(token), 100);
        vm.prank(address(token));
        token.approve(address(escrow), 100);
        // Without the guard the inner deposit would cover the fee in the outer measurement.
        bytes memory inner = abi.encodeCall(IBalances.deposit, (address(token), renter, 100));
        token.arm(address(escrow), inner, 100);
        vm.expectRevert(abi.encodeWithSelector(IBalances.WrongAmountReceived.selector, 900, 1_000));
        vm.prank(renter);
        escrow.deposit(address(token), renter, 1_000);
    }

    function test_S1_exits_entered_from_a_token_call_move_no_tokens() public {
        CallingToken token = new CallingToken();
        Terms memory t = dealIn(token);
        vm.warp(DEADLINE);
        token.arm(address(escrow), abi.encodeCall(IEscrow.expire, (t)), 0);
        vm.prank(renter);
        escrow.withdraw(address(token), renter, 1_000);
        vm.assertTrue(token.succeeded(), "the exit inside the withdrawal");
        assertState(t, State.Settled);
        uint256 owed = escrow.balanceOf(address(token), renter)
            + escrow.balanceOf(address(token), stranger)
            + escrow.balanceOf(address(token), address(token));
        vm.assertEq(token.balanceOf(address(escrow)), owed, "S1");
    }

    function test_S1_bad_token_harms_no_other_token() public {
        CallingToken token = new CallingToken();
        loose(token, stranger, 10_000);
        vm.prank(stranger);
        escrow.deposit(address(token), stranger, 1_000);
        bytes4 selector = IBalances.InsufficientBalance.selector;
        vm.expectRevert(abi.encodeWithSelector(selector, 0, 1));
        vm.prank(stranger);
        escrow.withdraw(address(dollar), stranger, 1);
        vm.assertEq(dollar.balanceOf(address(escrow)), FUNDS, "untouched");
    }

    /// @dev An open deal paid in a loose token, with twice the cap left in the balance.
    function dealIn(LooseToken token) private returns (Terms memory t) {
        vm.prank(owner);
        plaza.setListed(address(token), true);
        loose(token, renter, 4 * uint256(CAP));
        vm.prank(renter);
        escrow.deposit(address(token), renter, 4 * uint256(CAP));
        t = someTerms();
        t.token = address(token);
        doOpen(t);
    }

    /// @dev Deposit as the renter with `call` made in the middle; whether it went through, and why not.
    function enterFrom(CallingToken token, bytes memory call)
        private
        returns (bool done, bytes memory why)
    {
        Relay relay = new Relay();
        relay.aim(address(escrow), call);
        token.arm(address(relay), abi.encodeCall(Relay.fire, ()), 0);
        vm.prank(renter);
        escrow.deposit(address(token), renter, 1_000);
        return (relay.done(), relay.why());
    }

    function cannotBeDeposited(LooseToken token, bytes memory why) private {
        loose(token, renter, 1_000);
        vm.expectRevert(why);
        vm.prank(renter);
        escrow.deposit(address(token), renter, 1_000);
        vm.assertEq(escrow.balanceOf(address(token), renter), 0, "nothing credited");
    }

    function loose(LooseToken token, address account, uint256 amount) private {
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(escrow), amount);
    }
}

/// @dev Makes a call for a token and remembers the answer.
contract Relay {
    address private _target;
    bytes private _call;
    bool public done;
    bytes public why;

    function aim(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function fire() external {
        (done, why) = _target.call(_call);
    }
}
