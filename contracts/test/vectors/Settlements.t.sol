// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {ChargeLib} from "../../src/libraries/ChargeLib.sol";
import {vm} from "../Vm.sol";
import {Json} from "./Json.sol";

/// @dev vectors/settlements.json: what usage costs and how a settlement divides it, for the other
/// languages to check their arithmetic against. Written and checked as vectors/documents.json is.
contract SettlementsTest {
    string private constant PATH = "vectors/settlements.json";

    function test_vectors_are_fresh() public {
        string[] memory m = new string[](2);
        m[0] = Json.member("charges", Json.array(charges(), "\n    ", "\n  "));
        m[1] = Json.member("splits", Json.array(splits(), "\n    ", "\n  "));
        string memory json = string.concat(Json.object(m, "\n  ", "\n"), "\n");
        if (vm.envOr("VECTORS_WRITE", false)) vm.writeFile(PATH, json);
        vm.assertEq(
            keccak256(bytes(vm.readFile(PATH))), keccak256(bytes(json)), "stale: npm run vectors"
        );
    }

    /// @dev charge = floor(ratePerHour x seconds / 3600).
    function charges() private pure returns (string[] memory out) {
        uint96[5] memory rates = [0, 1, 3_599, 120_000, type(uint96).max];
        uint40[7] memory spans = [0, 1, 59, 3_599, 3_600, 86_401, type(uint40).max];
        out = new string[](rates.length * spans.length);
        for (uint256 i = 0; i < out.length; ++i) {
            uint96 rate = rates[i / spans.length];
            uint40 span = spans[i % spans.length];
            string[] memory m = new string[](3);
            m[0] = Json.number("ratePerHour", rate);
            m[1] = Json.number("seconds", span);
            m[2] = Json.number("charge", ChargeLib.chargeDown(rate, span));
            out[i] = Json.object(m, "", "");
        }
    }

    /// @dev fee = floor(amount x feeBps / 10,000), paid = amount - fee, refund = locked - amount.
    function splits() private pure returns (string[] memory out) {
        uint96[6] memory amounts = [0, 1, 33, 33_333, 144_000, type(uint96).max];
        uint16[5] memory shares = [0, 1, 300, 9_999, 10_000];
        out = new string[](amounts.length * shares.length * 2);
        for (uint256 i = 0; i < out.length; ++i) {
            uint96 amount = amounts[i / 2 / shares.length];
            uint16 share = shares[i / 2 % shares.length];
            uint96 locked = i % 2 == 0 || amount == type(uint96).max ? amount : amount * 2 + 7;
            out[i] = splitJson(amount, locked, share);
        }
    }

    function splitJson(uint96 amount, uint96 locked, uint16 feeBps)
        private
        pure
        returns (string memory)
    {
        (uint96 paid, uint96 fee, uint96 refund) = ChargeLib.splitDown(amount, locked, feeBps);
        string[] memory m = new string[](6);
        m[0] = Json.number("amount", amount);
        m[1] = Json.number("feeBps", feeBps);
        m[2] = Json.number("locked", locked);
        m[3] = Json.number("fee", fee);
        m[4] = Json.number("paid", paid);
        m[5] = Json.number("refund", refund);
        return Json.object(m, "", "");
    }
}
