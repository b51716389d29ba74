// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Closing, Opening} from "../../src/types/Batch.sol";
import {Receipt, Terms} from "../../src/types/Deal.sol";
import {Intent} from "../../src/types/Intent.sol";
import {Grant, Session} from "../../src/types/Session.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @dev What each call costs as a whole transaction (run with --isolate), written to snapshots/. The
/// parties have dealt before, so balances are not zero; openFee and closeFee are zero, as on the
/// networks that most deals are made on.
contract GasTest is Stage {
    Terms private terms;

    function setUp() public override {
        super.setUp();
        fund(provider, 1_000_000);
        fund(stranger, 1_000_000);
        Terms memory first = someTerms();
        doOpen(first);
        doSettle(first, completed(first, 10));
        terms = someTerms();
        (terms.nonce, terms.openFee, terms.closeFee) = (2, 0, 0);
    }

    function test_gas_open_from_balance() public {
        Terms memory t = terms;
        bytes memory bid = sign(PROVIDER_KEY, t);
        vm.prank(renter);
        escrow.open(t, "", bid);
        vm.snapshotGasLastCall("Escrow", "open from balance, by the renter");
    }

    function test_gas_open_from_balance_by_anyone() public {
        doOpen(terms);
        vm.snapshotGasLastCall("Escrow", "open from balance, by anyone");
    }

    function test_gas_open_with_authorization() public {
        Terms memory t = terms;
        give(renter, CAP);
        bytes memory bid = sign(PROVIDER_KEY, t);
        bytes memory consent = authorization(t);
        vm.prank(stranger);
        escrow.openWithAuthorization(t, consent, bid);
        vm.snapshotGasLastCall("Escrow", "open with authorization");
    }

    function test_gas_settle_by_anyone() public {
        Terms memory t = terms;
        doOpen(t);
        doSettle(t, completed(t, 60));
        vm.snapshotGasLastCall("Escrow", "settle, by anyone");
    }

    function test_gas_settle_by_the_provider() public {
        Terms memory t = terms;
        doOpen(t);
        Receipt memory r = completed(t, 60);
        bytes memory renterSays = sign(RENTER_KEY, r);
        vm.prank(providerKey);
        escrow.settle(t, r, renterSays, "");
        vm.snapshotGasLastCall("Escrow", "settle, by the provider");
    }

    function test_gas_present() public {
        Terms memory t = terms;
        doOpen(t);
        doPresent(t, running(t, 60));
        vm.snapshotGasLastCall("Escrow", "present");
    }

    function test_gas_stop_and_finalize() public {
        Terms memory t = terms;
        doOpen(t);
        vm.prank(renter);
        escrow.stop(t);
        vm.snapshotGasLastCall("Escrow", "stop, by the renter");
        vm.warp(NOW + WINDOW);
        doFinalize(t);
        vm.snapshotGasLastCall("Escrow", "finalize, stopped");
    }

    function test_gas_claim_and_finalize() public {
        Terms memory t = terms;
        doOpen(t);
        doClaim(t, running(t, 60), 0);
        vm.snapshotGasLastCall("Escrow", "claim with a receipt");
        vm.warp(NOW + WINDOW);
        doFinalize(t);
        vm.snapshotGasLastCall("Escrow", "finalize, claimed");
    }

    function test_gas_claim_floor() public {
        Terms memory t = terms;
        doOpen(t);
        doClaimFloor(t);
        vm.snapshotGasLastCall("Escrow", "claim at the floor");
    }

    function test_gas_expire() public {
        Terms memory t = terms;
        doOpen(t);
        vm.warp(DEADLINE);
        doExpire(t);
        vm.snapshotGasLastCall("Escrow", "expire");
    }

    function test_gas_contest() public {
        Terms memory t = terms;
        doOpen(t);
        doClaim(t, running(t, 30), 15);
        doContest(t);
        vm.snapshotGasLastCall("Escrow", "contest, by anyone");
    }

    function test_gas_cancel_and_top_up() public {
        Terms memory t = terms;
        vm.prank(renter);
        escrow.cancel(t);
        vm.snapshotGasLastCall("Escrow", "cancel");
        t.nonce = 3;
        doOpen(t);
        vm.prank(renter);
        escrow.topUp(t, 5);
        vm.snapshotGasLastCall("Escrow", "topUp");
    }

    function test_gas_deposit_and_withdraw() public {
        give(renter, 10);
        vm.prank(renter);
        dollar.approve(address(escrow), 10);
        vm.prank(renter);
        escrow.deposit(address(dollar), renter, 9);
        vm.snapshotGasLastCall("Escrow", "deposit");
        vm.prank(renter);
        escrow.withdraw(address(dollar), renter, 9);
        vm.snapshotGasLastCall("Escrow", "withdraw");
        bytes32 nonce = keccak256(abi.encodePacked("deposit", bytes32("salt")));
        bytes memory consent =
            sign(RENTER, receiveDigest(address(dollar), renter, 9, NOW + 60, nonce));
        vm.prank(stranger);
        escrow.depositWithAuthorization(address(dollar), renter, 9, NOW + 60, "salt", consent);
        vm.snapshotGasLastCall("Escrow", "deposit with authorization");
        escrow.collect(address(dollar));
        vm.snapshotGasLastCall("Escrow", "collect, first");
    }

    /* SESSIONS */

    function test_gas_open_in_session() public {
        Session memory session = someSession();
        Terms memory t = terms;
        t.session = escrow.sessionId(session);
        doOpenIn(grantOf(session), t);
        vm.snapshotGasLastCall("Escrow", "open in a session, first");
        (t.nonce, t.cap) = (3, 100_000);
        doOpenIn(granted(session), t);
        vm.snapshotGasLastCall("Escrow", "open in a session, by anyone");
        t.nonce = 4;
        bytes memory bid = sign(PROVIDER_KEY, t);
        vm.prank(renterKey);
        escrow.openInSession(t, granted(session), "", bid);
        vm.snapshotGasLastCall("Escrow", "open in a session, by its key");
        vm.prank(renterKey);
        escrow.topUpFor(t, 5, session, freely(), "");
        vm.snapshotGasLastCall("Escrow", "topUp in a session, by its key");
        doSettle(t, completed(t, 60));
        vm.snapshotGasLastCall("Escrow", "settle in a session, by anyone");
        vm.prank(renter);
        escrow.revoke(session);
        vm.snapshotGasLastCall("Escrow", "revoke");
    }

    /* BATCHES: the gas of the whole */

    function test_gas_batches_of_50() public {
        batches(50, "50");
    }

    function test_gas_batches_of_200() public {
        batches(200, "200");
    }

    function batches(uint256 size, string memory name) private {
        fund(renter, size * CAP);
        Session memory session = someSession();
        session.cap = type(uint96).max;
        Grant[] memory grants = new Grant[](1);
        grants[0] = grantOf(session);
        Opening[] memory openings = new Opening[](size);
        Closing[] memory closings = new Closing[](size);
        for (uint256 i = 0; i < size; ++i) {
            openings[i].terms = terms;
            openings[i].terms.session = escrow.sessionId(session);
            openings[i].terms.nonce = uint64(1_000 + i);
            openings[i].terms.spec = keccak256(abi.encode("spec", i));
        }
        doOpenBatch(openings, grants);
        vm.snapshotGasLastCall("Batches", string.concat("open ", name));
        for (uint256 i = 0; i < size; ++i) {
            Terms memory t = openings[i].terms;
            closings[i] = Closing(t, completed(t, 60));
        }
        doSettleBatch(closings);
        vm.snapshotGasLastCall("Batches", string.concat("settle ", name));
    }

    function test_gas_settle_50_of_the_renters_own() public {
        fund(renter, 50 * CAP);
        Closing[] memory closings = new Closing[](50);
        for (uint256 i = 0; i < 50; ++i) {
            Terms memory t = terms;
            (t.nonce, t.spec) = (uint64(1_000 + i), keccak256(abi.encode("spec", i)));
            doOpen(t);
            closings[i] = Closing(t, completed(t, 60));
        }
        doSettleBatch(closings);
        vm.snapshotGasLastCall("Batches", "settle 50, no session");
    }

    /* INTENTS */

    function test_gas_intents() public {
        Terms memory t = terms;
        doOpen(t);
        doStop(t);
        vm.snapshotGasLastCall("Escrow", "stop, by anyone");
        for (uint64 i = 0; i < 2; ++i) {
            Intent memory intent = Intent({nonce: i, deadline: NOW, fee: 0});
            bytes memory says = sign(RENTER, withdrawDigest(renter, 9, renter, intent));
            vm.prank(stranger);
            escrow.withdrawFor(renter, address(dollar), 9, renter, intent, says);
        }
        vm.snapshotGasLastCall("Escrow", "withdraw, by anyone");
    }

    function test_gas_register() public {
        bytes memory consent = sign(STRANGER, providers.authorisation(provider, stranger));
        vm.prank(provider);
        providers.register(stranger, consent);
        vm.snapshotGasLastCall("Providers", "register");
    }

    function test_gas_transfer() public {
        give(renter, 10);
        give(stranger, 10);
        vm.prank(renter);
        dollar.transfer(stranger, 5);
        vm.snapshotGasLastCall("TestDollar", "transfer");
    }

    function test_gas_sizes() public {
        vm.snapshotValue("sizes", "Plaza", address(plaza).code.length);
        vm.snapshotValue("sizes", "Escrow", address(escrow).code.length);
        vm.snapshotValue("sizes", "Providers", address(providers).code.length);
        vm.snapshotValue("sizes", "TestDollar", address(dollar).code.length);
    }
}
