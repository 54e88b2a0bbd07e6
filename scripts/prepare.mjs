/** Builds after `npm install`, if the development packages are installed. A production installation has none. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";

const isInstalled = (name) => {
  try {
    return createRequire(import.meta.url).resolve(name) !== "";
  } catch {
    return false;
  }
};

/** Without this link, `npx latchkey` in this folder would install and build the project a second time. */
function linkCommand() {
  chmodSync("dist/src/main.js", 0o755);
  mkdirSync("node_modules/.bin", { recursive: true });
  rmSync("node_modules/.bin/latchkey", { force: true });
  symlinkSync("../../dist/src/main.js", "node_modules/.bin/latchkey");
}

if (["typescript", "tsx/package.json", "@redocly/cli/package.json"].every(isInstalled)) {
  process.exitCode = spawnSync("npm run --silent build", { shell: true, stdio: "inherit" }).status ?? 1;
  if (process.exitCode === 0 && process.platform !== "win32") linkCommand();
} else if (!existsSync("dist/src/main.js")) {
  console.error("latchkey: not built, because the development packages are not installed.");
  console.error("          Run npm ci and then npm prune --omit=dev, or install the archive that npm pack creates.");
}
