// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {ISessions} from "../../src/interfaces/ISessions.sol";
import {Opening} from "../../src/types/Batch.sol";
import {Receipt, State, Terms} from "../../src/types/Deal.sol";
import {Grant, Session} from "../../src/types/Session.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";
import {MoodyWallet} from "./Wallets.sol";

/// @notice Contract wallets (ERC-1271): asked when a deal is opened, never after, and believed only
/// where they answer as the standard says.
contract WalletsTest is Stage {
    MoodyWallet private wallet;
    Terms private terms;
    Session private session;

    function setUp() public override {
        super.setUp();
        wallet = new MoodyWallet();
        fund(address(wallet), FUNDS);
        terms = someTerms();
        terms.renter = address(wallet);
        session = someSession();
        session.renter = address(wallet);
    }

    function test_S3_opens_what_it_approves_and_nothing_else() public {
        vm.assertTrue(!opens(), "not approved");
        wallet.approve(escrow.dealId(terms), true);
        vm.assertTrue(opens(), "approved");
        vm.assertEq(balance(address(wallet)), FUNDS - ESCROWED, "its balance");
        terms.nonce = 2;
        vm.assertTrue(!opens(), "another deal");
    }

    function test_S3_answers_that_are_not_the_standards_are_no_consent() public {
        MoodyWallet.Mood[6] memory moods = [
            MoodyWallet.Mood.Refusing,
            MoodyWallet.Mood.Reverting,
            MoodyWallet.Mood.Burning,
            MoodyWallet.Mood.Short,
            MoodyWallet.Mood.Dirty,
            MoodyWallet.Mood.Silent
        ];
        wallet.approve(escrow.dealId(terms), true);
        for (uint256 i = 0; i < moods.length; ++i) {
            wallet.feel(moods[i]);
            vm.assertTrue(!opens(), vm.toString(i));
            vm.assertTrue(!opensInSession("any"), vm.toString(i));
        }
        vm.assertEq(balance(address(wallet)), FUNDS, "untouched");
    }

    function test_long_answer_is_read_up_to_its_first_word() public {
        wallet.feel(MoodyWallet.Mood.Long);
        vm.assertTrue(opens(), "it says the magic number");
    }

    function test_session_of_a_wallet_is_granted_once_and_stays_until_revoked() public {
        bytes32 sid = escrow.sessionId(session);
        vm.assertTrue(!opensInSession("any"), "not approved");
        wallet.approve(sid, true);
        vm.assertTrue(opensInSession("any"), "approved");
        // It changes its mind, and burns gas or lies when asked: it is not asked.
        wallet.approve(sid, false);
        wallet.feel(MoodyWallet.Mood.Burning);
        terms.nonce = 2;
        vm.assertTrue(opensInSession(""), "remembered");
        wallet.make(address(escrow), abi.encodeCall(ISessions.revoke, (session)));
        terms.nonce = 3;
        vm.assertTrue(!opensInSession("any"), "revoked");
    }

    function test_L1_wallet_is_not_asked_how_a_deal_ends() public {
        wallet.approve(escrow.dealId(terms), true);
        opens();
        wallet.feel(MoodyWallet.Mood.Burning);
        vm.warp(NOW + 100);
        doPresent(terms, running(terms, 20));
        doSettle(terms, completed(terms, 40));
        assertState(terms, State.Settled);
    }

    function test_S3_wallet_signs_no_receipts_intents_or_batches() public {
        wallet.feel(MoodyWallet.Mood.Long);
        vm.assertTrue(opens(), "opened");
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.stopFor(terms, freely(), "any");
        vm.expectRevert(
            abi.encodeWithSelector(IBalances.AccountConsentMissing.selector, address(wallet))
        );
        escrow.withdrawFor(address(wallet), address(dollar), 1, stranger, freely(), "any");
        vm.expectRevert(
            abi.encodeWithSelector(IBalances.AccountConsentMissing.selector, address(wallet))
        );
        escrow.revokeFor(session, freely(), "any");

        Opening[] memory openings = new Opening[](1);
        terms.session = escrow.sessionId(session);
        openings[0] = Opening(terms, 0);
        Grant[] memory grants = new Grant[](1);
        grants[0] = Grant(session, "any");
        doOpenBatch(openings, grants);
        assertState(terms, State.None);

        // A wallet as the key of a deal cannot speak for it.
        Terms memory t = someTerms();
        (t.renterKey, t.nonce) = (address(wallet), 9);
        doOpen(t);
        vm.warp(NOW + 100);
        Receipt memory receipt = completed(t, 20);
        bytes memory providerSays = sign(PROVIDER_KEY, receipt);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.settle(t, receipt, "any", providerSays);
    }

    function test_key_that_delegates_to_code_signs_as_before() public {
        vm.etch(renter, address(wallet).code);
        doOpen(someTerms());
        assertState(someTerms(), State.Open);
    }

    function opens() private returns (bool done) {
        bytes memory bid = sign(PROVIDER_KEY, terms);
        vm.prank(stranger);
        (done,) =
            address(escrow).call{gas: 3_000_000}(abi.encodeCall(IEscrow.open, (terms, "any", bid)));
    }

    function opensInSession(bytes memory signature) private returns (bool done) {
        terms.session = escrow.sessionId(session);
        bytes memory renterSays = sign(RENTER_KEY, terms);
        bytes memory bid = sign(PROVIDER_KEY, terms);
        vm.prank(stranger);
        (done,) = address(escrow).call{gas: 3_000_000}(
            abi.encodeCall(
                IEscrow.openInSession, (terms, Grant(session, signature), renterSays, bid)
            )
        );
        terms.session = 0;
    }
}
