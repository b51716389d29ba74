// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {DocumentHashLib} from "../../src/libraries/DocumentHashLib.sol";
import {HashLib} from "../../src/libraries/HashLib.sol";
import {LEASE, Outcome, Receipt, Terms} from "../../src/types/Deal.sol";
import {Offer, Order} from "../../src/types/Documents.sol";
import {Intent} from "../../src/types/Intent.sol";
import {Session} from "../../src/types/Session.sol";
import {vm} from "../Vm.sol";
import {Json} from "./Json.sol";

/// @dev vectors/documents.json: documents with their hashes, for the other languages to check theirs
/// against. Every digest is computed twice, by the contracts' libraries and by forge from the type's
/// text alone. With VECTORS_WRITE=true the file is written anew, else it must be what would be written.
contract DocumentsTest {
    struct Domain {
        string name;
        uint256 chainId;
        address verifyingContract;
    }

    string private constant PATH = "vectors/documents.json";
    uint256 private constant SECRET = uint256(keccak256("plaza document vectors"));

    address private constant PLAZA = 0x1111111111111111111111111111111111111111;
    address private constant ESCROW = 0x2222222222222222222222222222222222222222;
    address private constant PROVIDERS = 0x3333333333333333333333333333333333333333;
    address private constant TOKEN = 0x4444444444444444444444444444444444444444;
    address private constant RENTER = 0xa11ce00000000000000000000000000000000001;
    address private constant RENTER_KEY = 0xA11CE00000000000000000000000000000000002;
    address private constant PROVIDER = 0xb0B0000000000000000000000000000000000001;
    address private constant PROVIDER_KEY = 0xb0b0000000000000000000000000000000000002;
    address private constant GATEWAY = 0xcafE000000000000000000000000000000000001;

    string private constant OFFER =
        "Offer(address provider,address providerKey,bytes peer,bytes resources,uint96 ratePerHour,address token,bytes32 sla,string region,uint64 sequence,uint40 validUntil)";
    string private constant ORDER =
        "Order(address renter,address renterKey,bytes32 session,address token,uint8 kind,bytes32 resources,uint96 maxRatePerHour,uint40 timeLimit,uint64 outputLimit,bytes32 spec,address gateway,uint64 nonce,uint40 expiry)";
    string private constant TERMS =
        "Terms(address renter,address provider,address renterKey,address providerKey,bytes32 session,address token,uint96 cap,uint96 ratePerHour,uint16 feeBps,uint8 kind,uint40 acceptBy,uint40 expiry,uint16 grace,address gateway,uint96 openFee,uint96 closeFee,uint64 nonce,bytes32 spec)";
    string private constant RECEIPT =
        "Receipt(bytes32 deal,uint96 amount,uint40 seconds,uint8 outcome,bytes32 result,bytes32 meter)";
    string private constant SESSION =
        "Session(address renter,address key,address token,uint96 cap,uint96 maxRatePerHour,uint40 expiry,bytes32 salt)";
    string private constant BATCH = "Batch(bytes32[] documents)";
    string private constant CANCEL = "Cancel(bytes32 deal,uint64 nonce,uint40 deadline,uint96 fee)";
    string private constant STOP = "Stop(bytes32 deal,uint64 nonce,uint40 deadline,uint96 fee)";
    string private constant CONTEST =
        "Contest(bytes32 deal,uint64 nonce,uint40 deadline,uint96 fee)";
    string private constant TOP_UP =
        "TopUp(bytes32 deal,uint96 amount,uint64 nonce,uint40 deadline,uint96 fee)";
    string private constant REVOKE =
        "Revoke(bytes32 session,uint64 nonce,uint40 deadline,uint96 fee)";
    string private constant WITHDRAW =
        "Withdraw(address account,address token,uint256 amount,address to,uint64 nonce,uint40 deadline,uint96 fee)";
    string private constant REGISTER =
        "Register(address provider,address key,address token,uint64 nonce,uint40 deadline,uint96 fee)";
    string private constant AUTHORIZATION = "Authorization(address provider,address key)";
    string private constant RECEIVE =
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";

    string[] private documents;

    function test_vectors_are_fresh_and_agree_with_the_types_text() public {
        Domain memory plaza = Domain("Plaza", 31_337, PLAZA);
        Domain memory escrow = Domain("Plaza", 31_337, ESCROW);
        addOffers(plaza);
        addOrders(plaza);
        bytes32 deal = addTerms(escrow);
        addTerms(Domain("Plaza", type(uint64).max, ESCROW));
        addReceipts(escrow, deal);
        addConsents(deal);
        bytes32 session = addSessions(escrow);
        addBatches(escrow, deal);
        addIntents(escrow, deal, session, someIntent());
        addIntents(escrow, deal, session, freely());

        string memory json = whole();
        if (vm.envOr("VECTORS_WRITE", false)) vm.writeFile(PATH, json);
        vm.assertEq(
            keccak256(bytes(vm.readFile(PATH))), keccak256(bytes(json)), "stale: npm run vectors"
        );
    }

    /* DOCUMENTS */

    function addOffers(Domain memory domain) private {
        Offer memory offer = Offer({
            provider: PROVIDER,
            providerKey: PROVIDER_KEY,
            peer: hex"002408011220aabbccdd",
            resources: bytes('{"cpu":4}'),
            ratePerHour: 120_000,
            token: TOKEN,
            sla: 0,
            region: "eu-west",
            sequence: 7,
            validUntil: 1_800_000_060
        });
        add(domain, "Offer", OFFER, offerJson(offer), DocumentHashLib.hash(offer));
        (offer.peer, offer.resources, offer.region) = ("", "", "");
        (offer.ratePerHour, offer.sequence) = (type(uint96).max, type(uint64).max);
        (offer.validUntil, offer.sla) = (type(uint40).max, keccak256("sla"));
        add(domain, "Offer", OFFER, offerJson(offer), DocumentHashLib.hash(offer));
    }

    function addOrders(Domain memory domain) private {
        Order memory order = Order({
            renter: RENTER,
            renterKey: RENTER_KEY,
            session: 0,
            token: TOKEN,
            kind: LEASE,
            resources: keccak256("resources"),
            maxRatePerHour: 200_000,
            timeLimit: 1 hours,
            outputLimit: 1 << 30,
            spec: keccak256("spec"),
            gateway: GATEWAY,
            nonce: 1,
            expiry: 1_800_000_600
        });
        add(domain, "Order", ORDER, orderJson(order), DocumentHashLib.hash(order));
        (order.session, order.kind, order.maxRatePerHour) =
        (keccak256("session"), 1, type(uint96).max);
        (order.timeLimit, order.outputLimit) = (type(uint40).max, type(uint64).max);
        (order.nonce, order.expiry) = (type(uint64).max, type(uint40).max);
        add(domain, "Order", ORDER, orderJson(order), DocumentHashLib.hash(order));
    }

    function addTerms(Domain memory domain) private returns (bytes32 first) {
        Terms memory terms = Terms({
            renter: RENTER,
            provider: PROVIDER,
            renterKey: RENTER_KEY,
            providerKey: PROVIDER_KEY,
            session: 0,
            token: TOKEN,
            cap: 144_000,
            ratePerHour: 120_000,
            feeBps: 300,
            kind: LEASE,
            acceptBy: 1_800_000_030,
            expiry: 1_800_004_530,
            grace: 60,
            gateway: GATEWAY,
            openFee: 0,
            closeFee: 0,
            nonce: 1,
            spec: keccak256("spec")
        });
        first = add(domain, "Terms", TERMS, termsJson(terms), this.hashTerms(terms));
        (terms.session, terms.kind, terms.feeBps, terms.grace) =
        (keccak256("session"), 255, type(uint16).max, type(uint16).max);
        (terms.cap, terms.ratePerHour) = (type(uint96).max, type(uint96).max - 1);
        (terms.openFee, terms.closeFee) = (type(uint96).max - 2, type(uint96).max - 3);
        (terms.acceptBy, terms.expiry) = (type(uint40).max - 1, type(uint40).max);
        terms.nonce = type(uint64).max;
        add(domain, "Terms", TERMS, termsJson(terms), this.hashTerms(terms));
        Terms memory zero;
        add(domain, "Terms", TERMS, termsJson(zero), this.hashTerms(zero));
    }

    function addReceipts(Domain memory domain, bytes32 deal) private {
        for (uint8 outcome = 0; outcome <= uint8(type(Outcome).max); ++outcome) {
            Receipt memory receipt = Receipt({
                deal: deal,
                amount: 333 * (uint96(outcome) + 1),
                elapsed: 10 * (uint40(outcome) + 1),
                outcome: Outcome(outcome),
                result: outcome == 0 ? bytes32(0) : keccak256("result"),
                meter: keccak256(abi.encode("meter", outcome))
            });
            add(domain, "Receipt", RECEIPT, receiptJson(receipt), this.hashReceipt(receipt));
        }
        Receipt memory most = Receipt({
            deal: deal,
            amount: type(uint96).max,
            elapsed: type(uint40).max,
            outcome: Outcome.Completed,
            result: keccak256("result"),
            meter: keccak256("meter")
        });
        add(domain, "Receipt", RECEIPT, receiptJson(most), this.hashReceipt(most));
    }

    function addSessions(Domain memory domain) private returns (bytes32 first) {
        Session memory session = Session({
            renter: RENTER,
            key: RENTER_KEY,
            token: TOKEN,
            cap: 1_440_000,
            maxRatePerHour: 200_000,
            expiry: 1_800_086_400,
            salt: keccak256("salt")
        });
        first = add(domain, "Session", SESSION, sessionJson(session), this.hashSession(session));
        (session.cap, session.maxRatePerHour) = (type(uint96).max, type(uint96).max - 1);
        session.expiry = type(uint40).max;
        add(domain, "Session", SESSION, sessionJson(session), this.hashSession(session));
    }

    /// @dev Of one document, of two, and of as many as there can be.
    function addBatches(Domain memory domain, bytes32 deal) private {
        uint8[3] memory sizes = [1, 2, 200];
        for (uint256 i = 0; i < sizes.length; ++i) {
            bytes32[] memory all = new bytes32[](sizes[i]);
            string[] memory words = new string[](sizes[i]);
            for (uint256 j = 0; j < all.length; ++j) {
                all[j] = j == 0 ? deal : keccak256(abi.encode("document", j));
                words[j] = Json.quoted(vm.toString(all[j]));
            }
            string[] memory one = new string[](1);
            one[0] = Json.member("documents", Json.array(words, "", ""));
            add(domain, "Batch", BATCH, Json.object(one, "", ""), HashLib.hashBatch(all));
        }
    }

    /// @dev What accounts sign for others to send.
    function addIntents(Domain memory escrow, bytes32 deal, bytes32 session, Intent memory intent)
        private
    {
        string[] memory one = new string[](1);
        one[0] = Json.word("deal", deal);
        add(escrow, "Cancel", CANCEL, intentJson(one, intent), this.hashCancel(deal, intent));
        add(escrow, "Stop", STOP, intentJson(one, intent), this.hashStop(deal, intent));
        add(escrow, "Contest", CONTEST, intentJson(one, intent), this.hashContest(deal, intent));
        one[0] = Json.word("session", session);
        add(escrow, "Revoke", REVOKE, intentJson(one, intent), this.hashRevoke(session, intent));
        string[] memory two = new string[](2);
        (two[0], two[1]) = (Json.word("deal", deal), Json.number("amount", type(uint96).max));
        bytes32 structHash = this.hashTopUp(deal, type(uint96).max, intent);
        add(escrow, "TopUp", TOP_UP, intentJson(two, intent), structHash);
        addIntentsOfAccounts(escrow, intent);
    }

    function addIntentsOfAccounts(Domain memory escrow, Intent memory intent) private {
        string[] memory four = new string[](4);
        four[0] = Json.account("account", RENTER);
        four[1] = Json.account("token", TOKEN);
        four[2] = Json.number("amount", type(uint256).max);
        four[3] = Json.account("to", PROVIDER);
        bytes32 structHash = this.hashWithdraw(RENTER, TOKEN, type(uint256).max, PROVIDER, intent);
        add(escrow, "Withdraw", WITHDRAW, intentJson(four, intent), structHash);
        string[] memory three = new string[](3);
        three[0] = Json.account("provider", PROVIDER);
        three[1] = Json.account("key", PROVIDER_KEY);
        three[2] = Json.account("token", TOKEN);
        structHash = keccak256(
            abi.encode(keccak256(bytes(REGISTER)), PROVIDER, PROVIDER_KEY, TOKEN, intent)
        );
        Domain memory providers = Domain("Plaza", 31_337, PROVIDERS);
        add(providers, "Register", REGISTER, intentJson(three, intent), structHash);
    }

    function someIntent() private pure returns (Intent memory) {
        return Intent({nonce: 7, deadline: 1_800_000_600, fee: 1_000});
    }

    function freely() private pure returns (Intent memory) {
        return Intent({nonce: 0, deadline: type(uint40).max, fee: 0});
    }

    /// @dev What else is signed for a contract: a key's consent, a pull of money.
    function addConsents(bytes32 deal) private {
        string[] memory two = new string[](2);
        two[0] = Json.account("provider", PROVIDER);
        two[1] = Json.account("key", PROVIDER_KEY);
        add(
            Domain("Plaza", 31_337, PROVIDERS),
            "Authorization",
            AUTHORIZATION,
            Json.object(two, "", ""),
            keccak256(abi.encode(keccak256(bytes(AUTHORIZATION)), PROVIDER, PROVIDER_KEY))
        );
        addPull(deal, 144_000, 1_800_000_031);
        addPull(keccak256(abi.encodePacked("deposit", bytes32("salt"))), 5_000_000, 1_800_000_600);
    }

    function addPull(bytes32 nonce, uint256 value, uint256 validBefore) private {
        string[] memory six = new string[](6);
        six[0] = Json.account("from", RENTER);
        six[1] = Json.account("to", ESCROW);
        six[2] = Json.number("value", value);
        six[3] = Json.number("validAfter", 0);
        six[4] = Json.number("validBefore", validBefore);
        six[5] = Json.word("nonce", nonce);
        bytes32 typeHash = keccak256(bytes(RECEIVE));
        add(
            Domain("Test Dollar", 31_337, TOKEN),
            "ReceiveWithAuthorization",
            RECEIVE,
            Json.object(six, "", ""),
            keccak256(abi.encode(typeHash, RENTER, ESCROW, value, 0, validBefore, nonce))
        );
    }

    /* MESSAGES */

    function offerJson(Offer memory o) private pure returns (string memory) {
        string[] memory m = new string[](10);
        m[0] = Json.account("provider", o.provider);
        m[1] = Json.account("providerKey", o.providerKey);
        m[2] = Json.hexed("peer", o.peer);
        m[3] = Json.hexed("resources", o.resources);
        m[4] = Json.number("ratePerHour", o.ratePerHour);
        m[5] = Json.account("token", o.token);
        m[6] = Json.word("sla", o.sla);
        m[7] = Json.text("region", o.region);
        m[8] = Json.number("sequence", o.sequence);
        m[9] = Json.number("validUntil", o.validUntil);
        return Json.object(m, "", "");
    }

    function orderJson(Order memory o) private pure returns (string memory) {
        string[] memory m = new string[](13);
        m[0] = Json.account("renter", o.renter);
        m[1] = Json.account("renterKey", o.renterKey);
        m[2] = Json.word("session", o.session);
        m[3] = Json.account("token", o.token);
        m[4] = Json.number("kind", o.kind);
        m[5] = Json.word("resources", o.resources);
        m[6] = Json.number("maxRatePerHour", o.maxRatePerHour);
        m[7] = Json.number("timeLimit", o.timeLimit);
        m[8] = Json.number("outputLimit", o.outputLimit);
        m[9] = Json.word("spec", o.spec);
        m[10] = Json.account("gateway", o.gateway);
        m[11] = Json.number("nonce", o.nonce);
        m[12] = Json.number("expiry", o.expiry);
        return Json.object(m, "", "");
    }

    function termsJson(Terms memory t) private pure returns (string memory) {
        string[] memory m = new string[](18);
        m[0] = Json.account("renter", t.renter);
        m[1] = Json.account("provider", t.provider);
        m[2] = Json.account("renterKey", t.renterKey);
        m[3] = Json.account("providerKey", t.providerKey);
        m[4] = Json.word("session", t.session);
        m[5] = Json.account("token", t.token);
        m[6] = Json.number("cap", t.cap);
        m[7] = Json.number("ratePerHour", t.ratePerHour);
        m[8] = Json.number("feeBps", t.feeBps);
        m[9] = Json.number("kind", t.kind);
        m[10] = Json.number("acceptBy", t.acceptBy);
        m[11] = Json.number("expiry", t.expiry);
        m[12] = Json.number("grace", t.grace);
        m[13] = Json.account("gateway", t.gateway);
        m[14] = Json.number("openFee", t.openFee);
        m[15] = Json.number("closeFee", t.closeFee);
        m[16] = Json.number("nonce", t.nonce);
        m[17] = Json.word("spec", t.spec);
        return Json.object(m, "", "");
    }

    function receiptJson(Receipt memory r) private pure returns (string memory) {
        string[] memory m = new string[](6);
        m[0] = Json.word("deal", r.deal);
        m[1] = Json.number("amount", r.amount);
        m[2] = Json.number("seconds", r.elapsed);
        m[3] = Json.number("outcome", uint8(r.outcome));
        m[4] = Json.word("result", r.result);
        m[5] = Json.word("meter", r.meter);
        return Json.object(m, "", "");
    }

    function sessionJson(Session memory it) private pure returns (string memory) {
        string[] memory m = new string[](7);
        m[0] = Json.account("renter", it.renter);
        m[1] = Json.account("key", it.key);
        m[2] = Json.account("token", it.token);
        m[3] = Json.number("cap", it.cap);
        m[4] = Json.number("maxRatePerHour", it.maxRatePerHour);
        m[5] = Json.number("expiry", it.expiry);
        m[6] = Json.word("salt", it.salt);
        return Json.object(m, "", "");
    }

    /// @dev `first`, and after them what every intent carries.
    function intentJson(string[] memory first, Intent memory intent)
        private
        pure
        returns (string memory)
    {
        string[] memory m = new string[](first.length + 3);
        for (uint256 i = 0; i < first.length; ++i) {
            m[i] = first[i];
        }
        m[first.length] = Json.number("nonce", intent.nonce);
        m[first.length + 1] = Json.number("deadline", intent.deadline);
        m[first.length + 2] = Json.number("fee", intent.fee);
        return Json.object(m, "", "");
    }

    /* HASHES */

    function hashTerms(Terms calldata terms) external pure returns (bytes32) {
        return HashLib.hash(terms);
    }

    function hashReceipt(Receipt calldata receipt) external pure returns (bytes32) {
        return HashLib.hash(receipt);
    }

    function hashSession(Session calldata session) external pure returns (bytes32) {
        return HashLib.hash(session);
    }

    function hashCancel(bytes32 deal, Intent calldata intent) external pure returns (bytes32) {
        return HashLib.hashCancel(deal, intent);
    }

    function hashStop(bytes32 deal, Intent calldata intent) external pure returns (bytes32) {
        return HashLib.hashStop(deal, intent);
    }

    function hashContest(bytes32 deal, Intent calldata intent) external pure returns (bytes32) {
        return HashLib.hashContest(deal, intent);
    }

    function hashTopUp(bytes32 deal, uint96 amount, Intent calldata intent)
        external
        pure
        returns (bytes32)
    {
        return HashLib.hashTopUp(deal, amount, intent);
    }

    function hashRevoke(bytes32 session, Intent calldata intent) external pure returns (bytes32) {
        return HashLib.hashRevoke(session, intent);
    }

    function hashWithdraw(
        address account,
        address token,
        uint256 amount,
        address to,
        Intent calldata intent
    ) external pure returns (bytes32) {
        return HashLib.hashWithdraw(account, token, amount, to, intent);
    }

    /// @dev Put down one document, once forge has found the same digest by itself.
    function add(
        Domain memory domain,
        string memory name,
        string memory typeText,
        string memory message,
        bytes32 structHash
    ) private returns (bytes32 digest) {
        bytes32 separator = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256(bytes(domain.name)),
                keccak256("1"),
                domain.chainId,
                domain.verifyingContract
            )
        );
        digest = keccak256(abi.encodePacked(hex"1901", separator, structHash));
        string memory domainText = domainJson(domain);
        string memory typed = typedData(domainText, name, typeText, message);
        vm.assertEq(digest, vm.eip712HashTypedData(typed), name);

        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SECRET, digest);
        string[] memory m = new string[](7);
        m[0] = Json.text("document", name);
        m[1] = Json.member("domain", domainText);
        m[2] = Json.word("domainSeparator", separator);
        m[3] = Json.member("message", message);
        m[4] = Json.word("structHash", structHash);
        m[5] = Json.word("digest", digest);
        m[6] = Json.hexed("signature", abi.encodePacked(r, s, v));
        documents.push(Json.object(m, "\n      ", "\n    "));
    }

    function domainJson(Domain memory domain) private pure returns (string memory) {
        string[] memory m = new string[](4);
        m[0] = Json.text("name", domain.name);
        m[1] = Json.text("version", "1");
        m[2] = Json.number("chainId", domain.chainId);
        m[3] = Json.account("verifyingContract", domain.verifyingContract);
        return Json.object(m, "", "");
    }

    /* FILE */

    function whole() private view returns (string memory) {
        string[] memory types = new string[](15);
        types[0] = Json.text("Offer", OFFER);
        types[1] = Json.text("Order", ORDER);
        types[2] = Json.text("Terms", TERMS);
        types[3] = Json.text("Receipt", RECEIPT);
        types[4] = Json.text("Session", SESSION);
        types[5] = Json.text("Batch", BATCH);
        types[6] = Json.text("Cancel", CANCEL);
        types[7] = Json.text("Stop", STOP);
        types[8] = Json.text("Contest", CONTEST);
        types[9] = Json.text("TopUp", TOP_UP);
        types[10] = Json.text("Revoke", REVOKE);
        types[11] = Json.text("Withdraw", WITHDRAW);
        types[12] = Json.text("Register", REGISTER);
        types[13] = Json.text("Authorization", AUTHORIZATION);
        types[14] = Json.text("ReceiveWithAuthorization", RECEIVE);
        string[] memory m = new string[](4);
        m[0] = Json.member("types", Json.object(types, "\n    ", "\n  "));
        m[1] = Json.word("secret", bytes32(SECRET));
        m[2] = Json.account("signer", vm.addr(SECRET));
        m[3] = Json.member("documents", Json.array(documents, "\n    ", "\n  "));
        return string.concat(Json.object(m, "\n  ", "\n"), "\n");
    }

    /* TYPED DATA: what wallets are given */

    function typedData(
        string memory domain,
        string memory name,
        string memory typeText,
        string memory message
    ) private pure returns (string memory) {
        string[] memory types = new string[](2);
        types[0] = Json.member(
            "EIP712Domain",
            members(
                "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
            )
        );
        types[1] = Json.member(name, members(typeText));
        string[] memory m = new string[](4);
        m[0] = Json.member("types", Json.object(types, "", ""));
        m[1] = Json.text("primaryType", name);
        m[2] = Json.member("domain", domain);
        m[3] = Json.member("message", message);
        return Json.object(m, "", "");
    }

    /// @dev "Name(type a,type b)" as the list of members of a typed-data document.
    function members(string memory typeText) private pure returns (string memory json) {
        bytes memory text = bytes(typeText);
        uint256 start = 0;
        while (text[start] != "(") ++start;
        json = '[{"type": "';
        for (uint256 i = start + 1; i < text.length; ++i) {
            if (text[i] == " ") json = string.concat(json, '", "name": "');
            else if (text[i] == ",") json = string.concat(json, '"}, {"type": "');
            else if (text[i] == ")") json = string.concat(json, '"}]');
            else json = string.concat(json, string(bytes.concat(text[i])));
        }
    }
}
