/** The service with some lines of its source changed, as a program of its own: to see whether a fault is found. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { Program } from "../service.ts";

/** In which file of `src/` which text is replaced by which other one. */
export type SourceEdit = [file: string, from: string, to: string];

/**
 * Builds the service with these edits and loads it.
 * @param name what its file in build/ is called
 * @throws where a text that should be replaced is not in its file, or is there twice
 */
export async function buildFaulty(name: string, edits: SourceEdit[]): Promise<Program> {
  const pending = new Map<string, [string, string][]>();
  for (const [file, from, to] of edits) {
    const path = resolve("src", file);
    pending.set(path, [...(pending.get(path) ?? []), [from, to]]);
  }
  const outfile = join(resolve("build/faulty"), `${name}.mjs`);
  await build({
    stdin: {
      contents: 'export { readConfig } from "./src/config.ts"; export { startService } from "./src/service.ts";',
      resolveDir: resolve("."),
      loader: "ts",
    },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    logLevel: "error",
    plugins: [
      {
        name: "edits",
        setup({ onLoad }) {
          onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
            const replacements = pending.get(path);
            if (!replacements) return undefined;
            pending.delete(path);
            let contents = await readFile(path, "utf8");
            for (const [from, to] of replacements) {
              if (contents.split(from).length !== 2) throw new Error(`${path} does not have this once: ${from}`);
              contents = contents.replace(from, () => to);
            }
            return { contents, loader: "ts" };
          });
        },
      },
    ],
  });
  if (pending.size > 0) throw new Error(`The service does not load ${[...pending.keys()].join(", ")}.`);
  return (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Program;
}
