// Read a deal from the chain, and settle it with the receipt that both sides signed: with viem.
//
//   plaza --json job receipt JOB > papers.json
//   node viem.mjs read papers.json RPC_URL
//   KEY=0x... node viem.mjs settle papers.json RPC_URL

import { createPublicClient, createWalletClient, hashTypedData, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

import { abi, print, settlement, stateName, typed, types } from "./papers.mjs";

const { verb, papers, url } = typed("viem.mjs");
const { deal, escrow: address, domain, terms } = papers;
const chain = createPublicClient({ transport: http(url) });

async function read() {
  // Whoever knows the terms knows the id: nothing here has to be believed.
  const computed = hashTypedData({ domain, types, primaryType: "Terms", message: terms });
  if (computed !== deal) throw new Error(`the terms belong to deal ${computed}, not to ${deal}`);
  const slot = await chain.readContract({ address, abi, functionName: "deals", args: [deal] });
  const events = await chain.getContractEvents({ address, abi, args: { id: deal }, fromBlock: 0n });
  const named = (name) => events.find(({ eventName }) => eventName === name);
  const settled = named("Settled");
  return {
    deal,
    state: stateName(slot.state),
    locked: slot.locked,
    opened_tx: named("Opened")?.transactionHash ?? null,
    settled_tx: settled?.transactionHash ?? null,
    paid: settled?.args.paid ?? null,
    fee: settled?.args.fee ?? null,
    refund: settled?.args.refund ?? null,
  };
}

async function settle() {
  const account = privateKeyToAccount(process.env.KEY);
  const wallet = createWalletClient({ account, transport: http(url) });
  // Simulated first: what the contract refuses costs nothing and says why.
  const { request } = await chain.simulateContract({
    account,
    address,
    abi,
    functionName: "settle",
    args: settlement(papers),
  });
  const hash = await wallet.writeContract({ ...request, chain: null });
  const { status } = await chain.waitForTransactionReceipt({ hash });
  if (status !== "success") throw new Error(`transaction ${hash} reverted`);
}

if (verb === "settle") await settle();
print(await read());
