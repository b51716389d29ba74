// The papers in the words of both libraries: one deal has one id, whoever computes it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TypedDataEncoder } from "ethers";
import { hashTypedData } from "viem";

import { parse, settlement, types } from "./papers.mjs";

const account = (digit) => `0x${digit.repeat(40)}`;
const word = (digit) => `0x${digit.repeat(64)}`;

const document = {
  renter: account("1"),
  provider: account("2"),
  renter_key: account("3"),
  provider_key: account("4"),
  session: word("0"),
  token: account("5"),
  cap: "30000",
  rate: "25000",
  fee: 300,
  kind: "lease",
  accept_by: 1_800_000_030,
  expiry: 1_800_004_530,
  grace: 60,
  gateway: account("6"),
  open_fee: "0",
  close_fee: "0",
  nonce: "NONCE",
  spec: word("8"),
};
const receipt = {
  deal: word("9"),
  amount: "6",
  seconds: 1,
  outcome: "completed",
  result: word("a"),
  meter: word("b"),
};
const deal = { deal: word("9"), chain_id: 1, escrow: account("e"), terms: { document } };
const text = (terminal) =>
  JSON.stringify({ papers: [{ ...deal, terminal }] }).replace('"NONCE"', "18446744073709551615");

test("viem and ethers give the terms the same id", () => {
  const { domain, terms } = parse(text(null));
  assert.equal(terms.nonce, 18446744073709551615n);
  const message = { domain, types, primaryType: "Terms", message: terms };
  assert.equal(hashTypedData(message), TypedDataEncoder.hash(domain, types, terms));
});

test("a receipt that both sides signed settles, one with a single signature does not", () => {
  const papers = parse(text({ receipt, renter: "0x01", provider: "0x02" }));
  const [terms, stated, renter, provider] = settlement(papers);
  assert.equal(terms.cap, 30000n);
  assert.deepEqual([stated.amount, stated.elapsed, stated.outcome], [6n, 1, 1]);
  assert.deepEqual([renter, provider], ["0x01", "0x02"]);
  assert.throws(() => settlement(parse(text({ receipt, renter: null, provider: "0x02" }))));
  assert.throws(() => settlement(parse(text(null))));
});
