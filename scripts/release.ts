/**
 * `npm run release -- [VERSION] [--dry-run]`: checks the working tree, packs every package, sets their version, moves the entries
 * of Unreleased in CHANGELOG.md under it, writes contract/released.yaml, commits and tags. It never pushes.
 * Without VERSION it takes that of package.json, or a higher one if the changes of the contract require it.
 */
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isReleased, withContractPart, withRelease } from "./changelog.ts";
import { type Change, contractChanges } from "./contract/changes.ts";
import { printChanges } from "./contract/print.ts";
import { packageFolders, readContract, readVersion, releasedFile, releasedText } from "./contract/released.ts";
import { compareVersions, nextVersion } from "./versions.ts";

/** What CI checks first. The tests take too long to repeat here: release a commit that CI has passed. */
const checks = ["lint", "typecheck", "check:generated", "build"];

const help = `Usage: npm run release -- [VERSION] [--dry-run]

Options:
  --dry-run  Run the checks and show what would be done. Change nothing.
  --help     Show this text.
`;

try {
  await main();
} catch (error) {
  console.error(`\n${(error as Error).message}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { "dry-run": { type: "boolean", default: false }, help: { type: "boolean", default: false } },
  });
  if (options.help) {
    process.stdout.write(help);
    return;
  }
  if (git("status", "--porcelain") !== "") throw new Error("The working tree has changes. Commit them first.");
  const contract = await readContract("openapi.yaml");
  const packaged = await readVersion(contract);
  const released = await readContract(releasedFile);
  const changes = contractChanges(released, contract);
  const changelog = await readFile("CHANGELOG.md", "utf8");
  const lowest = lowestVersion(released.info.version, changes, changelog);
  const version = positionals[0] ?? (compareVersions(packaged, lowest) > 0 ? packaged : lowest);
  if (compareVersions(version, lowest) < 0) {
    printChanges(changes, `Changes of the contract since ${released.info.version}:`);
    throw new Error(`The version must be at least ${lowest}, not ${version}.`);
  }
  if (git("tag", "--list", `v${version}`) !== "") throw new Error(`The tag v${version} already exists.`);
  const date = new Date().toISOString().slice(0, 10);
  const newChangelog = withRelease(withContractPart(changelog, changes), version, date);

  for (const check of checks) npm("run", "--silent", check);
  printPackages();

  printChanges(changes, `\nRelease ${version}. Changes of the contract since ${released.info.version}:`);
  if (options["dry-run"]) {
    console.log(`\nA dry run: nothing was changed. CHANGELOG.md would have:\n\n${sectionOf(newChangelog, version)}`);
    return;
  }
  try {
    await setVersion(version);
    await writeFile("CHANGELOG.md", newChangelog);
    await writeFile(releasedFile, releasedText(await readFile("openapi.yaml", "utf8")));
    git("commit", "--quiet", "--all", "--message", `Release ${version}`);
  } catch (cause) {
    // The tree had no changes before.
    git("restore", "--staged", "--worktree", ".");
    throw new Error(`Nothing was released: ${(cause as Error).message}`, { cause });
  }
  git("tag", "--annotate", `v${version}`, "--message", `Latchkey ${version}`);
  console.log(`\nCommitted and tagged v${version}. To publish it: git push --follow-tags`);
}

/** The lowest version that tells clients what changed in the contract. A first release may keep the version it has. */
function lowestVersion(released: string, changes: Change[], changelog: string): string {
  const isBreaking = changes.some(({ verdict }) => verdict === "breaking");
  return isBreaking || isReleased(changelog, released) ? nextVersion(released, changes) : released;
}

/** What would be published. */
function printPackages(): void {
  const packing = ["pack", "--dry-run", "--json", "--ignore-scripts", "--workspaces", "--include-workspace-root"];
  const packages = JSON.parse(execFileSync("npm", packing, { encoding: "utf8" })) as Packed[];
  for (const { name, size, entryCount } of packages)
    console.log(`${name}: ${entryCount} files, ${Math.ceil(size / 1000)} kB packed`);
}

type Packed = { name: string; size: number; entryCount: number };

/** Writes the version to the packages, package-lock.json and openapi.yaml, and generates what depends on it. */
async function setVersion(version: string): Promise<void> {
  const folders = await packageFolders();
  const lock = JSON.parse(await readFile("package-lock.json", "utf8"));
  lock.version = version;
  for (const folder of folders) {
    lock.packages[folder].version = version;
    const file = join(folder, "package.json");
    await writeFile(file, (await readFile(file, "utf8")).replace(/^( {2}"version": )".*"/m, `$1"${version}"`));
  }
  await writeFile("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
  for (const file of ["openapi.yaml", "workflows.arazzo.yaml"]) {
    const text = await readFile(file, "utf8");
    // The first `version` within `info`, which both files begin with.
    await writeFile(file, text.replace(/^( {2}version: ).*$/m, `$1${version}`));
  }
  await readVersion(await readContract("openapi.yaml"));
  npm("run", "--silent", "generate");
}

function sectionOf(changelog: string, version: string): string {
  return changelog.split(/^(?=## )/m).find((section) => section.startsWith(`## ${version} `)) ?? "";
}

function git(...args: string[]): string {
  return execFileSync("git", args, { encoding: "utf8" }).trim();
}

/** @throws {Error} if the command fails; its output is shown */
function npm(...args: string[]): void {
  try {
    execFileSync("npm", args, { stdio: ["ignore", "inherit", "inherit"] });
  } catch (cause) {
    throw new Error(`npm ${args.join(" ")} failed.`, { cause });
  }
}
