/**
 * Writes dist/ of each package in packages/: a module for each of its exports, with shared chunks, and the type declarations that
 * they need. Part of `npm run build`. The modules are minified: the verifier must stay below 30 kB, and is 41 kB otherwise.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import ts from "typescript";

type Manifest = { exports: Record<string, string | { types: string; default: string }> };

for (const name of await readdir("packages")) {
  const folder = join("packages", name);
  const { exports } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Manifest;
  const modules = Object.values(exports).filter((target) => typeof target === "object");
  await rm(join(folder, "dist"), { recursive: true, force: true });
  declare(folder);
  await removeUnused(
    join(folder, "dist"),
    modules.map(({ types }) => resolve(folder, types)),
  );
  await build({
    entryPoints: modules.map(({ default: path }) => join(folder, path.replace(/^\.\/dist\/(.+)\.js$/, "src/$1.ts"))),
    outbase: join(folder, "src"),
    outdir: join(folder, "dist"),
    bundle: true,
    splitting: true,
    chunkNames: "shared/[hash]",
    packages: "external",
    platform: "neutral",
    format: "esm",
    target: "es2022",
    minify: true,
    lineLimit: 400, // Node.js prints the whole line of an uncaught exception
    logLevel: "warning",
  });
}

/** Writes the declarations of a package. @throws {Error} if it does not compile */
function declare(folder: string): void {
  const file = join(folder, "tsconfig.json");
  const { options, fileNames, errors } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(file, ts.sys.readFile).config,
    ts.sys,
    folder,
  );
  const program = ts.createProgram({ rootNames: fileNames, options: { ...options, emitDeclarationOnly: true } });
  const diagnostics = [...errors, ...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics];
  if (diagnostics.length > 0) throw new Error(ts.formatDiagnostics(diagnostics, ts.createCompilerHost(options)));
}

/** Removes declarations that no entry refers to, directly or through others. */
async function removeUnused(dist: string, entries: string[]): Promise<void> {
  const used = new Set<string>();
  const pending = [...entries];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    if (used.has(file)) continue;
    used.add(file);
    const { importedFiles } = ts.preProcessFile(await readFile(file, "utf8"));
    const relative = importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith("."));
    pending.push(...relative.map((name) => resolve(file, "..", name.replace(/\.[jt]s$/, ".d.ts"))));
  }
  for (const name of await readdir(dist, { recursive: true })) {
    if (name.endsWith(".d.ts") && !used.has(resolve(dist, name))) await rm(join(dist, name));
  }
}
