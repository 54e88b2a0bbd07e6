/** Builds after `npm install`, if the development packages are installed. A production installation has none. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";

const isInstalled = (name) => {
  try {
    return createRequire(import.meta.url).resolve(name) !== "";
  } catch {
    return false;
  }
};

if (["typescript", "tsx/package.json", "@redocly/cli/package.json"].every(isInstalled)) {
  process.exitCode = spawnSync("npm run --silent build", { shell: true, stdio: "inherit" }).status ?? 1;
} else if (!existsSync("dist/src/main.js")) {
  console.error("latchkey: not built, because the development packages are not installed.");
  console.error("          Run npm ci and then npm prune --omit=dev, or install the archive that npm pack creates.");
}
