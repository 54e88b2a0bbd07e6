/** Builds the service with a planted fault as a program of its own. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { Program } from "../service.ts";

/** Replaces a text that occurs once in a source file. The path is relative to the project. */
export type SourceEdit = [file: string, from: string, to: string];

/**
 * Builds the service with these edits and loads it.
 * @param name the name of its file in build/faulty/
 * @throws {Error} if a text does not occur exactly once in its file
 */
export async function buildFaulty(name: string, edits: SourceEdit[]): Promise<Program> {
  const pending = new Map<string, [string, string][]>();
  for (const [file, from, to] of edits) {
    const path = resolve(file);
    pending.set(path, [...(pending.get(path) ?? []), [from, to]]);
  }
  const outfile = join(resolve("build/faulty"), `${name}.mjs`);
  await build({
    stdin: {
      contents: 'export { readConfig } from "./src/config/config.ts"; export { startService } from "./src/start.ts";',
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
