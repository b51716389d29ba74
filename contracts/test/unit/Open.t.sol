// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {Deal, State, Terms} from "../../src/types/Deal.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice `open`: every guard between a signed bid and locked money.
contract OpenTest is Stage {
    /* WHAT IT DOES */

    function test_locks_the_cap_and_pays_the_sender_its_fee() public {
        Terms memory t = someTerms();
        doOpen(t);
        Deal memory slot = slotOf(t);
        vm.assertEq(uint256(slot.state), uint256(State.Open), "state");
        vm.assertEq(slot.locked, CAP, "locked");
        vm.assertEq(uint256(slot.floor) + slot.until + slot.extra, 0, "rest of the slot");
        vm.assertEq(balance(renter), FUNDS - CAP - OPEN_FEE - CLOSE_FEE, "renter");
        vm.assertEq(balance(stranger), OPEN_FEE, "openFee goes to the sender");
    }

    function test_states_the_whole_terms_in_its_event() public {
        Terms memory t = someTerms();
        bytes32 id = escrow.dealId(t);
        bytes memory renterSays = sign(RENTER, id);
        bytes memory providerSays = sign(PROVIDER_KEY, id);
        vm.expectEmit(address(escrow));
        emit IEscrow.Opened(id, renter, provider, stranger, false, t);
        vm.prank(stranger);
        escrow.open(t, renterSays, providerSays);
    }

    function test_id_is_the_digest_of_the_terms() public view {
        Terms memory t = someTerms();
        bytes32 typeHash = keccak256(
            "Terms(address renter,address provider,address renterKey,address providerKey,bytes32 session,address token,uint96 cap,uint96 ratePerHour,uint16 feeBps,uint8 kind,uint40 acceptBy,uint40 expiry,uint16 grace,address gateway,uint96 openFee,uint96 closeFee,uint64 nonce,bytes32 spec)"
        );
        bytes32 domain = domainOf("Plaza", address(escrow));
        vm.assertEq(escrow.domainSeparator(), domain, "domain");
        bytes32 wanted = digestIn(domain, keccak256(abi.encode(typeHash, t)));
        vm.assertEq(escrow.dealId(t), wanted, "id");
    }

    function test_with_authorization_pulls_from_the_wallet() public {
        Terms memory t = someTerms();
        uint256 value = uint256(CAP) + OPEN_FEE + CLOSE_FEE;
        give(renter, value);
        bytes memory consent = authorization(t);
        bytes memory bid = sign(PROVIDER_KEY, t);
        bytes32 id = escrow.dealId(t);
        vm.expectEmit(address(escrow));
        emit IEscrow.Opened(id, renter, provider, stranger, true, t);
        vm.prank(stranger);
        escrow.openWithAuthorization(t, consent, bid);
        assertState(t, State.Open);
        vm.assertEq(dollar.balanceOf(renter), 0, "wallet");
        vm.assertEq(balance(renter), FUNDS, "the balance inside is untouched");
        vm.assertEq(dollar.balanceOf(address(escrow)), FUNDS + value, "S1");
        vm.assertTrue(dollar.authorizationState(renter, id), "nonce is the deal's id");
    }

    /* S3: CONSENT */

    function test_S3_key_named_by_the_terms_cannot_spend_the_balance() public {
        Terms memory t = someTerms();
        bytes memory forged = sign(RENTER_KEY, t);
        bytes memory bid = sign(PROVIDER_KEY, t);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.open(t, forged, bid);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        vm.prank(renterKey);
        escrow.open(t, "", bid);
    }

    function test_S3_nobody_opens_for_the_zero_account_with_a_broken_signature() public {
        fund(address(0xdead), 0);
        Terms memory t = someTerms();
        t.renter = address(0);
        bytes memory bid = sign(PROVIDER_KEY, t);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.open(t, new bytes(65), bid);
    }

    function test_S3_refuses_a_bid_of_another_key_even_the_providers_own() public {
        Terms memory t = someTerms();
        bytes memory renterSays = sign(RENTER, t);
        bytes memory bid = sign(PROVIDER, t);
        vm.expectRevert(IEscrow.ProviderConsentMissing.selector);
        escrow.open(t, renterSays, bid);
    }

    function test_S3_refuses_consents_to_other_terms() public {
        Terms memory t = someTerms();
        bytes memory renterSays = sign(RENTER, t);
        bytes memory bid = sign(PROVIDER_KEY, t);
        t.cap += 1;
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.open(t, renterSays, bid);
    }

    function test_S3_refuses_consents_from_another_chain() public {
        Terms memory t = someTerms();
        bytes memory renterSays = sign(RENTER, t);
        bytes memory bid = sign(PROVIDER_KEY, t);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        escrow.open(t, renterSays, bid);
    }

    function test_S3_refuses_consents_to_another_escrow() public {
        Terms memory t = someTerms();
        bytes memory renterSays = sign(RENTER, t);
        bytes memory bid = sign(PROVIDER_KEY, t);
        IEscrow other = deployEscrow(WINDOW, LEAD);
        vm.expectRevert(IEscrow.RenterConsentMissing.selector);
        other.open(t, renterSays, bid);
    }

    function test_S3_authorization_to_a_deposit_does_not_open() public {
        Terms memory t = someTerms();
        uint256 value = uint256(CAP) + OPEN_FEE + CLOSE_FEE;
        give(renter, value);
        bytes32 nonce = keccak256(abi.encodePacked("deposit", bytes32("salt")));
        bytes memory consent =
            sign(RENTER, receiveDigest(address(dollar), renter, value, ACCEPT_BY + 1, nonce));
        bytes memory bid = sign(PROVIDER_KEY, t);
        vm.expectRevert();
        escrow.openWithAuthorization(t, consent, bid);
    }

    /* BOUNDS */

    function test_B2_acceptBy_may_be_now_and_a_lead_ahead_and_no_further() public {
        Terms memory t = someTerms();
        t.acceptBy = NOW - 1;
        refused(t, abi.encodeWithSelector(IEscrow.AcceptByOutOfBounds.selector, t.acceptBy));
        t.acceptBy = NOW + LEAD + 1;
        refused(t, abi.encodeWithSelector(IEscrow.AcceptByOutOfBounds.selector, t.acceptBy));
        t.acceptBy = NOW;
        doOpen(t);
        t.acceptBy = NOW + LEAD;
        doOpen(t);
    }

    function test_B2_expiry_is_after_acceptBy_by_at_most_366_days() public {
        Terms memory t = someTerms();
        t.expiry = t.acceptBy;
        refused(t, abi.encodeWithSelector(IEscrow.ExpiryOutOfBounds.selector, t.expiry));
        t.expiry = t.acceptBy + 366 days + 1;
        refused(t, abi.encodeWithSelector(IEscrow.ExpiryOutOfBounds.selector, t.expiry));
        t.expiry = t.acceptBy + 1;
        doOpen(t);
        t.expiry = t.acceptBy + 366 days;
        doOpen(t);
    }

    function test_B1_cap_is_not_zero() public {
        Terms memory t = someTerms();
        t.cap = 0;
        refused(t, abi.encodeWithSelector(IEscrow.ZeroCap.selector));
        t.cap = 1;
        doOpen(t);
    }

    function test_keys_are_not_zero() public {
        Terms memory t = someTerms();
        t.renterKey = address(0);
        refused(t, abi.encodeWithSelector(IEscrow.ZeroKey.selector));
        t = someTerms();
        t.providerKey = address(0);
        refused(t, abi.encodeWithSelector(IEscrow.ZeroKey.selector));
    }

    function test_only_leases_open() public {
        Terms memory t = someTerms();
        t.kind = 1;
        refused(t, abi.encodeWithSelector(IEscrow.KindRefused.selector, 1));
    }

    function test_sessions_are_refused() public {
        Terms memory t = someTerms();
        t.session = "session";
        refused(t, abi.encodeWithSelector(IEscrow.SessionRefused.selector, t.session));
    }

    function test_more_than_the_balance_does_not_open() public {
        Terms memory t = someTerms();
        t.cap = FUNDS - OPEN_FEE - CLOSE_FEE + 1;
        refused(t, abi.encodeWithSelector(IBalances.InsufficientBalance.selector, FUNDS, FUNDS + 1));
        t.cap -= 1;
        doOpen(t);
        vm.assertEq(balance(renter), 0, "all of it");
    }

    function test_cap_and_fees_of_96_bits_do_not_wrap() public {
        Terms memory t = someTerms();
        (t.cap, t.openFee, t.closeFee) = (type(uint96).max, type(uint96).max, type(uint96).max);
        uint256 needed = 3 * uint256(type(uint96).max);
        refused(t, abi.encodeWithSelector(IBalances.InsufficientBalance.selector, FUNDS, needed));
    }

    /* THE NETWORK */

    function test_needs_a_listed_token() public {
        Terms memory t = someTerms();
        vm.prank(owner);
        plaza.setListed(address(dollar), false);
        refused(t, abi.encodeWithSelector(IEscrow.TokenNotListed.selector, address(dollar)));
    }

    function test_needs_the_present_fee() public {
        Terms memory t = someTerms();
        t.feeBps = FEE_BPS - 1;
        refused(t, abi.encodeWithSelector(IEscrow.FeeNotPresent.selector, FEE_BPS));
        vm.prank(owner);
        plaza.setFee(FEE_BPS - 1);
        doOpen(t);
    }

    function test_needs_a_key_authorised_for_the_provider() public {
        Terms memory t = someTerms();
        vm.prank(provider);
        providers.revoke(providerKey);
        bytes4 selector = IEscrow.KeyNotAuthorised.selector;
        refused(t, abi.encodeWithSelector(selector, provider, providerKey));
        authorise(STRANGER, PROVIDER_KEY);
        refused(t, abi.encodeWithSelector(selector, provider, providerKey));
    }

    function test_needs_to_be_the_present_escrow() public {
        Terms memory t = someTerms();
        vm.prank(owner);
        plaza.setModule("escrow", stranger);
        refused(t, abi.encodeWithSelector(IEscrow.NotPresentEscrow.selector, stranger));
    }

    function test_pauses_and_goes_on_by_itself() public {
        Terms memory t = someTerms();
        vm.prank(owner);
        plaza.pauseOpens(10);
        refused(t, abi.encodeWithSelector(IEscrow.OpensPaused.selector));
        vm.warp(NOW + 9);
        refused(t, abi.encodeWithSelector(IEscrow.OpensPaused.selector));
        vm.warp(NOW + 10);
        doOpen(t);
    }

    /* FORM */

    function test_word_with_unused_bits_set_is_refused() public {
        Terms memory t = someTerms();
        bytes memory bid = sign(PROVIDER_KEY, t);
        bytes memory call = abi.encodeCall(IEscrow.open, (t, "", bid));
        for (uint256 member = 0; member < 18; ++member) {
            if (member == 4 || member == 17) continue; // session and spec use all of their bits
            bytes memory dirty = bytes.concat(call);
            dirty[4 + member * 32] = 0x01;
            vm.prank(renter);
            (bool done,) = address(escrow).call(dirty);
            vm.assertTrue(!done, "dirty word");
        }
        vm.prank(renter);
        (bool clean,) = address(escrow).call(call);
        vm.assertTrue(clean, "clean words");
    }

    function refused(Terms memory t, bytes memory why) private {
        bytes memory renterSays = sign(RENTER, t);
        bytes memory bid = sign(PROVIDER_KEY, t);
        vm.expectRevert(why);
        escrow.open(t, renterSays, bid);
        bytes memory consent = authorization(t);
        bool money = bytes4(why) == IBalances.InsufficientBalance.selector;
        if (money) return;
        vm.expectRevert(why);
        escrow.openWithAuthorization(t, consent, bid);
    }
}
