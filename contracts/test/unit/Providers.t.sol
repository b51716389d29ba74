// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {IProviders} from "../../src/interfaces/IProviders.sol";
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
    function consent(address account) private view returns (bytes32) {
        return digestIn(
            domainOf("Plaza", address(providers)),
            keccak256(
                abi.encode(keccak256("Authorization(address provider,address key)"), account, key)
            )
        );
    }
}
