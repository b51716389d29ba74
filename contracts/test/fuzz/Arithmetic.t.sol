// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ChargeLib} from "../../src/libraries/ChargeLib.sol";
import {Deal, Outcome, Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice Charges, splits and bounds hold for any numbers.
contract ArithmeticTest is Stage {
    function testFuzz_C1_split_is_exact(uint96 locked, uint96 amount, uint16 feeBps) public pure {
        amount = uint96(bound(amount, 0, locked));
        feeBps = uint16(bound(feeBps, 0, 10_000));
        (uint96 paid, uint96 fee, uint96 refund) = ChargeLib.splitDown(amount, locked, feeBps);
        vm.assertEq(uint256(paid) + fee + refund, locked, "paid + fee + refund = locked");
        vm.assertEq(uint256(paid) + fee, amount, "paid + fee = amount");
        vm.assertLe(uint256(fee) * 10_000, uint256(amount) * feeBps, "never above the share");
        vm.assertTrue(
            (uint256(fee) + 1) * 10_000 > uint256(amount) * feeBps, "less than a unit below it"
        );
    }

    function testFuzz_B1_charge_is_rounded_down(uint96 rate, uint40 elapsed) public pure {
        uint256 charge = ChargeLib.chargeDown(rate, elapsed);
        vm.assertLe(charge * 3600, uint256(rate) * elapsed, "never above");
        vm.assertTrue((charge + 1) * 3600 > uint256(rate) * elapsed, "less than a unit below");
    }

    function testFuzz_B1_charging_in_parts_never_costs_more(
        uint96 rate,
        uint32 first,
        uint32 second
    ) public pure {
        uint256 parts =
            ChargeLib.chargeDown(rate, first) + ChargeLib.chargeDown(rate, second);
        vm.assertLe(parts, ChargeLib.chargeDown(rate, uint40(first) + second), "in parts");
    }

    /// @dev A receipt is accepted just when it is within the three bounds.
    function testFuzz_B1_receipt_is_accepted_just_within_bounds(
        uint96 cap,
        uint96 rate,
        uint96 amount,
        uint40 elapsed,
        uint40 passed
    ) public {
        Terms memory t = someTerms();
        t.cap = uint96(bound(cap, 1, 10_000_000));
        t.ratePerHour = uint96(bound(rate, 0, 36_000_000));
        doOpen(t);
        passed = uint40(bound(passed, 0, DEADLINE - NOW - 1));
        vm.warp(NOW + passed);
        elapsed = uint40(bound(elapsed, 0, 2 * uint256(passed) + 300));
        uint256 charge = uint256(t.ratePerHour) * elapsed / 3600;
        amount = uint96(bound(amount, 0, charge + 2));
        uint256 end = NOW + passed < EXPIRY ? NOW + passed : EXPIRY;
        bool within = amount <= t.cap && amount <= charge && elapsed + ACCEPT_BY <= end + LEAD;

        Receipt memory r = receiptOf(t, amount, elapsed, Outcome.Running);
        bytes memory renterSays = sign(RENTER_KEY, r);
        bytes memory providerSays = sign(PROVIDER_KEY, r);
        (bool done,) =
            address(escrow).call(abi.encodeCall(IEscrow.present, (t, r, renterSays, providerSays)));
        vm.assertEq(done, within, "accepted");
        vm.assertEq(slotOf(t).floor, within ? amount : 0, "floor");
    }

    function testFuzz_C1_settlement_conserves(uint96 cap, uint40 elapsed, uint96 less) public {
        Terms memory t = someTerms();
        t.cap = uint96(bound(cap, 1, FUNDS - OPEN_FEE - CLOSE_FEE));
        doOpen(t);
        vm.warp(NOW + 3_000);
        elapsed = uint40(bound(elapsed, 0, 3_000));
        uint256 most = uint256(elapsed) * 1_000 < t.cap ? uint256(elapsed) * 1_000 : t.cap;
        uint96 amount = uint96(most - bound(less, 0, most));
        doSettle(t, receiptOf(t, amount, elapsed, Outcome.Completed));
        assertSettledAt(t, amount);
    }

    function testFuzz_C1_finalize_pays_floor_and_extra_up_to_the_lock(
        uint96 cap,
        uint96 rate,
        uint16 extra
    ) public {
        Terms memory t = someTerms();
        t.cap = uint96(bound(cap, 1, FUNDS - OPEN_FEE - CLOSE_FEE));
        t.ratePerHour = rate;
        doOpen(t);
        vm.warp(NOW + 300);
        uint256 charge = uint256(rate) * 30 / 3600;
        uint96 floor = uint96(charge < t.cap ? charge : t.cap);
        extra = uint16(bound(extra, 0, GRACE));
        doClaim(t, receiptOf(t, floor, 30, Outcome.Running), extra);
        vm.warp(NOW + 300 + WINDOW);
        doFinalize(t);
        uint256 due = floor + uint256(rate) * extra / 3600;
        assertSettledAt(t, due < t.cap ? due : t.cap);
    }

    /// @dev Whatever the network's owner does after the opening, every exit ends as it would have.
    function testFuzz_L2_pause_and_policy_never_change_an_exit(
        uint8 exit,
        uint40 elapsed,
        uint16 extra
    ) public {
        Terms memory t = someTerms();
        doOpen(t);
        elapsed = uint40(bound(elapsed, 0, 100));
        extra = uint16(bound(extra, 0, GRACE));
        uint256 here = vm.snapshotState();
        depart(t, exit % 6, elapsed, extra);
        bytes32 alone = ends(t);
        vm.revertToState(here);

        hostile();
        depart(t, exit % 6, elapsed, extra);
        vm.assertEq(ends(t), alone, "L2");
        vm.assertEq(uint256(stateOf(t)), uint256(State.Settled), "settled");
        uint256 had = balance(provider);
        vm.prank(provider);
        escrow.withdraw(address(dollar), provider, had);
        vm.assertEq(dollar.balanceOf(provider), had, "and withdrawn");
    }

    function testFuzz_id_is_the_typed_digest(Terms memory t) public view {
        bytes32 typeHash = keccak256(
            "Terms(address renter,address provider,address renterKey,address providerKey,bytes32 session,address token,uint96 cap,uint96 ratePerHour,uint16 feeBps,uint8 kind,uint40 acceptBy,uint40 expiry,uint16 grace,address gateway,uint96 openFee,uint96 closeFee,uint64 nonce,bytes32 spec)"
        );
        bytes32 wanted =
            digestIn(domainOf("Plaza", address(escrow)), keccak256(abi.encode(typeHash, t)));
        vm.assertEq(escrow.dealId(t), wanted, "id");
    }

    /// @dev Leave the deal by one of six ways.
    function depart(Terms memory t, uint8 way, uint40 elapsed, uint16 extra) private {
        vm.warp(NOW + 200);
        if (way == 0) return doSettle(t, completed(t, elapsed));
        doPresent(t, running(t, elapsed));
        if (way == 1) {
            vm.warp(DEADLINE);
            return doExpire(t);
        }
        if (way == 2) doStop(t);
        if (way == 3 || way == 4) doClaim(t, running(t, elapsed), extra);
        if (way == 4) return doContest(t);
        if (way == 5) doClaimFloor(t);
        vm.warp(NOW + 200 + WINDOW);
        doFinalize(t);
    }

    function hostile() private {
        vm.prank(owner);
        plaza.pauseOpens(7 days);
        vm.prank(owner);
        plaza.setListed(address(dollar), false);
        vm.prank(owner);
        plaza.setFee(MAX_FEE_BPS);
        vm.prank(owner);
        plaza.setModule("escrow", stranger);
        vm.prank(owner);
        plaza.setModule("providers", address(0));
        vm.prank(owner);
        plaza.setFeeReceiver(address(0));
        vm.prank(provider);
        providers.revoke(providerKey);
    }

    function ends(Terms memory t) private view returns (bytes32) {
        Deal memory slot = slotOf(t);
        return keccak256(
            abi.encode(
                slot,
                balance(renter),
                balance(provider),
                balance(stranger),
                escrow.fees(address(dollar))
            )
        );
    }

    function bound(uint256 value, uint256 least, uint256 most) private pure returns (uint256) {
        return value < least || value > most ? least + value % (most - least + 1) : value;
    }
}
