/**
 * `npm run build`: writes dist/ and the dist/ of each package. Does nothing if the last build read the same files and its results are
 * still there, because `npm ci` and most test commands build.
 */
import { spawnSync } from "node:child_process";
import { createHash, type Hash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const steps = [
  "tsc -p tsconfig.build.json",
  "tsx scripts/build-packages.ts",
  "tsx scripts/build-contract.ts",
  "tsx scripts/build-docs.ts",
];
/** The folders that the steps read or write. They also read files at the top. */
const folders = ["dist", "docs", "generated", "packages", "scripts", "src"];
/** `npm run docs` writes this folder later. */
const ignored = ["node_modules", "dist/site"];
const record = "build/last-build";

if (!existsSync(record) || readFileSync(record, "utf8") !== digest()) {
  rmSync(record, { force: true });
  for (const step of steps) {
    const { status } = spawnSync(step, { shell: true, stdio: "inherit" });
    if (status !== 0) process.exit(status ?? 1);
  }
  mkdirSync("build", { recursive: true });
  writeFileSync(record, digest());
}

/** The version of Node.js and all files that a build reads or writes, as one digest. */
function digest(): string {
  const hash = createHash("sha256").update(process.version);
  for (const name of readdirSync(".").filter((name) => /\.(json|md|yaml)$/.test(name))) add(hash, name);
  for (const folder of folders) addFolder(hash, folder);
  return hash.digest("hex");
}

function addFolder(hash: Hash, folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (ignored.includes(entry.name) || ignored.includes(path)) continue;
    if (entry.isDirectory()) addFolder(hash, path);
    else add(hash, path);
  }
}

function add(hash: Hash, path: string): void {
  const content = readFileSync(path);
  hash.update(`${path}\n${content.length}\n`).update(content);
}
