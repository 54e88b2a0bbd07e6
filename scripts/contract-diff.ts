/**
 * `npm run contract:diff`: lists the changes of openapi.yaml since the last release that affect clients. Fails if a
 * change breaks clients and the version does not announce it. `--write` copies the changes to CHANGELOG.md.
 * `--from` compares with another contract: a file, or a Git revision.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs, promisify } from "node:util";
import { parse } from "yaml";
import { withContractPart } from "./changelog.ts";
import { contractChanges } from "./contract/changes.ts";
import { printChanges } from "./contract/print.ts";
import { type Contract, readContract, readVersion, releasedFile } from "./contract/released.ts";
import { announcesBreakingChange } from "./versions.ts";

try {
  process.exitCode = await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

/** @returns the exit status */
async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: { from: { type: "string", default: releasedFile }, write: { type: "boolean", default: false } },
  });
  const contract = await readContract("openapi.yaml");
  const version = await readVersion(contract);
  const released = await contractOf(options.from);
  const changes = contractChanges(released, contract);
  printChanges(changes, `openapi.yaml ${version}, compared with ${options.from} (${released.info.version})`);
  if (options.write) {
    const changelog = await readFile("CHANGELOG.md", "utf8");
    await writeFile("CHANGELOG.md", withContractPart(changelog, changes));
  }
  const isBreaking = changes.some(({ verdict }) => verdict === "breaking");
  if (!isBreaking || announcesBreakingChange(released.info.version, version)) return 0;
  console.error(`\nThis breaks clients of ${released.info.version}, and version ${version} does not announce it.`);
  return 1;
}

async function contractOf(from: string): Promise<Contract> {
  if (existsSync(from) || from === releasedFile) return readContract(from);
  const { stdout } = await promisify(execFile)("git", ["show", `${from}:./openapi.yaml`], { maxBuffer: 10_000_000 });
  return parse(stdout) as Contract;
}
