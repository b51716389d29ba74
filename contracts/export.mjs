// Write what Rust needs of each contract, its ABI and bytecode, to abi/NAME.json.
//
// In: forge's output in out/. Out: abi/*.json, or with --check an exit status of 1 and the name of
// every file that is stale. `sourceHash` lets a stale file be seen without any Solidity tool: it is
//   sha256sum $(find src -name '*.sol'; echo foundry.toml package-lock.json) | sort -k2 | sha256sum
// run in this folder, paths sorted bytewise, each line "HASH", two spaces, "PATH", newline.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CONTRACTS = ['Plaza', 'Escrow', 'Providers', 'TestDollar'];

const root = dirname(fileURLToPath(import.meta.url));
const read = (path) => readFileSync(join(root, path));
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** The paths of everything that bytecode depends on, sorted bytewise. */
function sources() {
  const solidity = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.sol'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .map((path) => path.replaceAll('\\', '/'));
  return [...solidity, 'foundry.toml', 'package-lock.json'].sort((a, b) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );
}

const hashOf = (paths) => sha256(paths.map((path) => `${sha256(read(path))}  ${path}\n`).join(''));

/** The text of abi/NAME.json. */
function exported(name, sourceHash) {
  const { abi, bytecode, deployedBytecode } = JSON.parse(read(`out/${name}.sol/${name}.json`));
  const content = {
    abi,
    bytecode: bytecode.object,
    deployedBytecode: deployedBytecode.object,
    sourceHash,
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** The text of a committed file, or nothing where there is none. */
function committed(path) {
  try {
    return read(path).toString();
  } catch {
    return '';
  }
}

const sourceHash = `0x${hashOf(sources())}`;
const files = CONTRACTS.map((name) => [`abi/${name}.json`, exported(name, sourceHash)]);
const stale = files.filter(([path, text]) => committed(path) !== text);

if (process.argv.includes('--check')) {
  for (const [path] of stale) console.error(`contracts/${path} is stale: run npm run abi`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const [path, text] of stale) writeFileSync(join(root, path), text);
  console.log(stale.length === 0 ? 'all fresh' : stale.map(([path]) => `wrote ${path}`).join('\n'));
}
