/**
 * Says what clients notice of the changes since the last release: `npm run contract:diff`. Fails
 * where a change breaks them and the version does not say so. With `--write` the changes go to
 * CHANGELOG.md. `--from` compares with another contract: a file, or a Git revision.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs, promisify } from "node:util";
import { parse } from "yaml";
import { saysBreaking, withContractPart } from "./changelog.ts";
import { type Change, contractChanges } from "./contract/changes.ts";

type Contract = { info: { version: string } };

try {
  process.exitCode = await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

/** @returns the exit status */
async function main(): Promise<number> {
  const { values: options } = parseArgs({ options: { from: { type: "string" }, write: { type: "boolean" } } });
  const contract = parse(await readFile("openapi.yaml", "utf8")) as Contract;
  const { version } = contract.info;
  const packaged = (JSON.parse(await readFile("package.json", "utf8")) as { version: string }).version;
  if (version !== packaged) {
    console.error(`openapi.yaml has version ${version}, package.json has ${packaged}. They are one.`);
    return 1;
  }
  const from = options.from ?? (await lastRelease());
  if (from === undefined) {
    console.log("Nothing has been released yet: there is no contract to compare with.");
    return 0;
  }
  const released = await contractOf(from);
  const changes = contractChanges(released, contract);
  print(changes, `openapi.yaml ${version}, compared with ${from} (${released.info.version})`);
  if (options.write) {
    const changelog = await readFile("CHANGELOG.md", "utf8");
    await writeFile("CHANGELOG.md", withContractPart(changelog, changes));
  }
  if (!changes.some(({ verdict }) => verdict === "breaking") || saysBreaking(released.info.version, version)) return 0;
  console.error(`\nThis breaks clients of ${released.info.version}, and version ${version} does not say so.`);
  return 1;
}

/** The last tag before here. That there is none is believed only of a whole history. */
async function lastRelease(): Promise<string | undefined> {
  const isShallow = (await git("rev-parse", "--is-shallow-repository")).trim() === "true";
  const tag = await git("describe", "--tags", "--abbrev=0", "--match", "v*").catch(() => undefined);
  if (tag === undefined && isShallow) {
    throw new Error("This clone is shallow and has no tag: fetch the history and the tags, or say --from.");
  }
  return tag?.trim();
}

async function contractOf(from: string): Promise<Contract> {
  const text = await readFile(from, "utf8").catch(() => git("show", `${from}:./openapi.yaml`));
  return parse(text) as Contract;
}

async function git(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("git", args, { maxBuffer: 10_000_000 });
  return stdout;
}

function print(changes: Change[], title: string): void {
  console.log(title);
  for (const subject of new Set(changes.map(({ subject }) => subject))) {
    console.log(`\n${subject}`);
    for (const { verdict, text } of changes.filter((change) => change.subject === subject)) {
      console.log(`  ${verdict.padEnd(8)}  ${text}`);
    }
  }
  if (changes.length === 0) console.log("\nNo client notices a difference.");
}
