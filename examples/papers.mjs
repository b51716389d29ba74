// The papers of a job's first deal, as `plaza --json job receipt JOB` prints them, in the words of the
// contract.
//
// Amounts are decimal strings of base units there and bigints here; times are seconds since 1970.

import { readFileSync } from "node:fs";

const OUTCOMES = ["running", "completed", "failed", "provider-fault", "stopped", "out-of-funds"];
const STATES = ["none", "open", "stopped", "claimed", "settled", "cancelled"];

const { abi } = JSON.parse(
  readFileSync(new URL("../contracts/abi/Escrow.json", import.meta.url), "utf8"),
);

/** The escrow's ABI, as it was compiled. */
export { abi };

/** What the escrow calls the state of a deal. */
export const stateName = (number) => STATES[number];

/** The EIP-712 types of what both sides sign. */
export const types = {
  Terms: [
    { name: "renter", type: "address" },
    { name: "provider", type: "address" },
    { name: "renterKey", type: "address" },
    { name: "providerKey", type: "address" },
    { name: "session", type: "bytes32" },
    { name: "token", type: "address" },
    { name: "cap", type: "uint96" },
    { name: "ratePerHour", type: "uint96" },
    { name: "feeBps", type: "uint16" },
    { name: "kind", type: "uint8" },
    { name: "acceptBy", type: "uint40" },
    { name: "expiry", type: "uint40" },
    { name: "grace", type: "uint16" },
    { name: "gateway", type: "address" },
    { name: "openFee", type: "uint96" },
    { name: "closeFee", type: "uint96" },
    { name: "nonce", type: "uint64" },
    { name: "spec", type: "bytes32" },
  ],
};

/** The papers in a file, or in `-` on standard input. */
export function read(path) {
  return parse(readFileSync(path === "-" ? 0 : path, "utf8"));
}

/** The papers in a text. */
export function parse(text) {
  // A nonce has 64 bits, of which a number here would keep 53.
  const [papers] = JSON.parse(text.replace(/("nonce":\s*)(\d+)/g, '$1"$2"')).papers;
  const { document } = papers.terms;
  return {
    deal: papers.deal,
    escrow: papers.escrow,
    domain: {
      name: "Plaza",
      version: "1",
      chainId: papers.chain_id,
      verifyingContract: papers.escrow,
    },
    terms: {
      renter: document.renter,
      provider: document.provider,
      renterKey: document.renter_key,
      providerKey: document.provider_key,
      session: document.session,
      token: document.token,
      cap: BigInt(document.cap),
      ratePerHour: BigInt(document.rate),
      feeBps: document.fee,
      kind: ["lease"].indexOf(document.kind),
      acceptBy: document.accept_by,
      expiry: document.expiry,
      grace: document.grace,
      gateway: document.gateway,
      openFee: BigInt(document.open_fee),
      closeFee: BigInt(document.close_fee),
      nonce: BigInt(document.nonce),
      spec: document.spec,
    },
    terminal: papers.terminal && cosigned(papers.terminal),
  };
}

function cosigned({ receipt, renter, provider }) {
  return {
    receipt: {
      deal: receipt.deal,
      amount: BigInt(receipt.amount),
      elapsed: receipt.seconds,
      outcome: OUTCOMES.indexOf(receipt.outcome),
      result: receipt.result,
      meter: receipt.meter,
    },
    renter,
    provider,
  };
}

/** The terminal receipt with both signatures, without which a deal cannot be settled from outside. */
export function settlement(papers) {
  const { terminal } = papers;
  if (!terminal?.renter) throw new Error(`deal ${papers.deal} has no receipt that both sides signed`);
  return [papers.terms, terminal.receipt, terminal.renter, terminal.provider];
}

/** What was typed: `read PAPERS URL` or `settle PAPERS URL`. */
export function typed(program) {
  const [verb, file, url] = process.argv.slice(2);
  if (!["read", "settle"].includes(verb) || !file || !url) {
    console.error(`usage: node ${program} read|settle PAPERS.json RPC_URL   (settle: KEY=0x... pays the gas)`);
    process.exit(2);
  }
  return { verb, papers: read(file), url };
}

/** One line of JSON; amounts as decimal strings. */
export function print(answer) {
  console.log(JSON.stringify(answer, (_, value) => (typeof value === "bigint" ? `${value}` : value)));
}
