// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IProviders} from "../../src/interfaces/IProviders.sol";
import {Intent} from "../../src/types/Intent.sol";
import {Stage} from "../Stage.sol";
import {vm} from "../Vm.sol";

/// @notice The registry: which key signs for which provider.
contract ProvidersTest is Stage {
    uint256 private constant KEY = uint256(keccak256("another key"));
    address private immutable key = vm.addr(KEY);

    function test_K1_key_serves_the_account_it_signed_for() public {
        bytes memory says = sign(KEY, consent(stranger));
        vm.expectEmit(address(providers));
        emit IProviders.Registered(stranger, key);
        vm.prank(stranger);
        providers.register(key, says);
        vm.assertEq(providers.isAuthorised(stranger, key), true, "authorised");
        vm.assertEq(providers.isAuthorised(provider, key), false, "for no other");
        vm.assertEq(providers.providerOf(key), stranger, "reverse");
    }

    function test_K1_nobody_claims_a_key_without_its_signature() public {
        bytes memory says = sign(KEY, consent(stranger));
        vm.expectRevert(abi.encodeWithSelector(IProviders.ConsentMissing.selector, key));
        vm.prank(provider);
        providers.register(key, says);
        vm.expectRevert(abi.encodeWithSelector(IProviders.ConsentMissing.selector, key));
        vm.prank(stranger);
        providers.register(key, "");
        says = sign(STRANGER, consent(stranger));
        vm.expectRevert(abi.encodeWithSelector(IProviders.ConsentMissing.selector, key));
        vm.prank(stranger);
        providers.register(key, says);
    }

    function test_K1_zero_is_nobodys_key_and_nobodys_provider() public {
        vm.expectRevert(abi.encodeWithSelector(IProviders.ConsentMissing.selector, address(0)));
        vm.prank(stranger);
        providers.register(address(0), new bytes(65));
        vm.assertEq(providers.isAuthorised(address(0), key), false, "unregistered key");
    }

    function test_K1_key_of_another_provider_is_taken_until_revoked() public {
        bytes memory says = sign(PROVIDER_KEY, providers.authorisation(stranger, providerKey));
        vm.expectRevert(abi.encodeWithSelector(IProviders.KeyTaken.selector, providerKey, provider));
        vm.prank(stranger);
        providers.register(providerKey, says);
        vm.expectEmit(address(providers));
        emit IProviders.Revoked(provider, providerKey);
        vm.prank(provider);
        providers.revoke(providerKey);
        vm.prank(stranger);
        providers.register(providerKey, says);
        vm.assertEq(providers.providerOf(providerKey), stranger, "moved");
    }

    function test_registering_again_changes_nothing() public {
        authorise(PROVIDER, PROVIDER_KEY);
        vm.assertEq(providers.isAuthorised(provider, providerKey), true, "still");
    }

    function test_provider_may_have_several_keys() public {
        authorise(PROVIDER, KEY);
        vm.assertEq(providers.isAuthorised(provider, key), true, "second");
        vm.assertEq(providers.isAuthorised(provider, providerKey), true, "first");
    }

    function test_only_its_provider_revokes_a_key() public {
        address[3] memory others = [stranger, providerKey, owner];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IProviders.KeyNotYours.selector, providerKey, others[i])
            );
            vm.prank(others[i]);
            providers.revoke(providerKey);
        }
    }

    function test_rotates_in_one_step() public {
        bytes memory says = sign(KEY, consent(provider));
        vm.prank(provider);
        providers.rotate(providerKey, key, says);
        vm.assertEq(providers.isAuthorised(provider, providerKey), false, "old");
        vm.assertEq(providers.isAuthorised(provider, key), true, "new");
    }

    function test_consent_is_bound_to_chain_and_contract() public {
        bytes memory says = sign(KEY, consent(stranger));
        vm.chainId(block.chainid + 1);
        vm.expectRevert(abi.encodeWithSelector(IProviders.ConsentMissing.selector, key));
        vm.prank(stranger);
        providers.register(key, says);
    }

    /// @dev Written out a second time.
    /* BY SIGNATURE */

    function test_K1_newcomer_registers_without_native_coin() public {
        Intent memory intent = Intent({nonce: 5, deadline: NOW + 60, fee: 40});
        give(stranger, 100);
        bytes[3] memory says = saysOf(intent);
        vm.expectEmit(address(providers));
        emit IProviders.Registered(stranger, key);
        vm.prank(renter);
        providers.registerFor(stranger, key, says[0], address(dollar), intent, says[1], says[2]);
        vm.assertEq(providers.providerOf(key), stranger, "registered");
        vm.assertEq(dollar.balanceOf(renter), 40, "fee");
        vm.assertEq(dollar.balanceOf(stranger), 60, "from the wallet");
        vm.assertEq(providers.nonceUsed(stranger, 5), true, "nonce");
    }

    function test_K1_intent_registers_once_so_a_revoked_key_does_not_come_back() public {
        Intent memory intent = Intent({nonce: 5, deadline: NOW + 60, fee: 0});
        bytes[3] memory says = saysOf(intent);
        providers.registerFor(stranger, key, says[0], address(dollar), intent, says[1], "");
        vm.prank(stranger);
        providers.revoke(key);
        vm.expectRevert(abi.encodeWithSelector(IProviders.NonceUsed.selector, stranger, 5));
        providers.registerFor(stranger, key, says[0], address(dollar), intent, says[1], "");
    }

    function test_intent_is_sent_until_its_deadline() public {
        Intent memory intent = Intent({nonce: 5, deadline: NOW + 60, fee: 0});
        bytes[3] memory says = saysOf(intent);
        vm.warp(NOW + 61);
        vm.expectRevert(abi.encodeWithSelector(IProviders.IntentExpired.selector, NOW + 60));
        providers.registerFor(stranger, key, says[0], address(dollar), intent, says[1], "");
        vm.warp(NOW + 60);
        providers.registerFor(stranger, key, says[0], address(dollar), intent, says[1], "");
    }

    function test_K1_needs_both_signatures_over_every_member() public {
        Intent memory intent = Intent({nonce: 5, deadline: NOW + 60, fee: 0});
        bytes[3] memory says = saysOf(intent);
        bytes memory why =
            abi.encodeWithSelector(IProviders.AccountConsentMissing.selector, stranger);
        vm.expectRevert(why);
        vm.prank(stranger);
        providers.registerFor(stranger, key, says[0], address(dollar), intent, "", "");
        vm.expectRevert(why);
        providers.registerFor(stranger, key, says[0], renter, intent, says[1], "");
        vm.expectRevert(why);
        providers.registerFor(stranger, renter, says[0], address(dollar), intent, says[1], "");
        intent.nonce = 6;
        vm.expectRevert(why);
        providers.registerFor(stranger, key, says[0], address(dollar), intent, says[1], "");
        intent.nonce = 5;
        vm.expectRevert(abi.encodeWithSelector(IProviders.ConsentMissing.selector, key));
        providers.registerFor(stranger, key, says[1], address(dollar), intent, says[1], "");
    }

    function test_S1_fee_that_does_not_come_in_is_refused() public {
        Intent memory intent = Intent({nonce: 5, deadline: NOW + 60, fee: 40});
        give(address(providers), 40);
        LyingAuthorizer token = new LyingAuthorizer();
        bytes memory consents = sign(KEY, consent(stranger));
        bytes memory says = sign(STRANGER, registerDigest(address(token), intent));
        vm.expectRevert(abi.encodeWithSelector(IProviders.WrongAmountReceived.selector, 0, 40));
        providers.registerFor(stranger, key, consents, address(token), intent, says, new bytes(65));
        vm.assertEq(providers.providerOf(key), address(0), "not registered");
    }

    /// @dev The key's, the provider's and the wallet's signature.
    function saysOf(Intent memory intent) private view returns (bytes[3] memory) {
        bytes32 digest = registerDigest(address(dollar), intent);
        return [
            sign(KEY, consent(stranger)),
            sign(STRANGER, digest),
            sign(
                STRANGER,
                receiveDigest(
                    address(dollar),
                    stranger,
                    address(providers),
                    intent.fee,
                    uint256(intent.deadline) + 1,
                    digest
                )
            )
        ];
    }

    function registerDigest(address token, Intent memory intent) private view returns (bytes32) {
        bytes32 kind = keccak256(
            "Register(address provider,address key,address token,uint64 nonce,uint40 deadline,uint96 fee)"
        );
        return digestIn(
            domainOf("Plaza", address(providers)),
            keccak256(abi.encode(kind, stranger, key, token, intent))
        );
    }

    function consent(address account) private view returns (bytes32) {
        return digestIn(
            domainOf("Plaza", address(providers)),
            keccak256(
                abi.encode(keccak256("Authorization(address provider,address key)"), account, key)
            )
        );
    }
}

/// @dev Says that it delivered, and delivers nothing.
contract LyingAuthorizer {
    function balanceOf(address) external pure returns (uint256) {
        return 1_000;
    }

    function receiveWithAuthorization(
        address,
        address,
        uint256,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {}
}
