/** Builds after an installation, where the development packages are there: a production installation brings none. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";

const isThere = (name) => {
  try {
    return createRequire(import.meta.url).resolve(name) !== "";
  } catch {
    return false;
  }
};

if (["typescript", "tsx/package.json", "@redocly/cli/package.json"].every(isThere)) {
  process.exitCode = spawnSync("npm run --silent build", { shell: true, stdio: "inherit" }).status ?? 1;
} else if (!existsSync("dist/src/main.js")) {
  console.error("latchkey: nothing was built, since the development packages are not installed.");
  console.error("          Run npm ci and then npm prune --omit=dev, or install the archive that npm pack makes.");
}
