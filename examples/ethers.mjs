// Read a deal from the chain, and settle it with the receipt that both sides signed: with ethers.
//
//   plaza --json job receipt JOB > papers.json
//   node ethers.mjs read papers.json RPC_URL
//   KEY=0x... node ethers.mjs settle papers.json RPC_URL

import { Contract, JsonRpcProvider, TypedDataEncoder, Wallet } from "ethers";

import { abi, print, settlement, stateName, typed, types } from "./papers.mjs";

const { verb, papers, url } = typed("ethers.mjs");
const { deal, domain, terms } = papers;
const chain = new JsonRpcProvider(url);
const escrow = new Contract(papers.escrow, abi, chain);

async function read() {
  // Whoever knows the terms knows the id: nothing here has to be believed.
  const computed = TypedDataEncoder.hash(domain, types, terms);
  if (computed !== deal) throw new Error(`the terms belong to deal ${computed}, not to ${deal}`);
  const slot = await escrow.deals(deal);
  const [opened] = await escrow.queryFilter(escrow.filters.Opened(deal));
  const [settled] = await escrow.queryFilter(escrow.filters.Settled(deal));
  return {
    deal,
    state: stateName(Number(slot.state)),
    locked: slot.locked,
    opened_tx: opened?.transactionHash ?? null,
    settled_tx: settled?.transactionHash ?? null,
    paid: settled?.args.paid ?? null,
    fee: settled?.args.fee ?? null,
    refund: settled?.args.refund ?? null,
  };
}

async function settle() {
  const account = new Wallet(process.env.KEY, chain);
  // Its gas is estimated first: what the contract refuses costs nothing and says why.
  const sent = await escrow.connect(account).settle(...settlement(papers));
  await sent.wait();
}

try {
  if (verb === "settle") await settle();
  print(await read());
} finally {
  chain.destroy();
}
