/** Other generators understand the contract: their clients compile and run the curl session of the article. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { expect, test } from "vitest";
import type { WalkThrough } from "../fixtures/generators/walkThrough.ts";
import { afterTest } from "../support/afterTest.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await mkdir("build", { recursive: true });
// In the project, so that the clients' imports are resolved.
const folder = await mkdtemp("build/generators-");
afterTest(() => rm(folder, { recursive: true }));

const run = async (tool: string, ...args: string[]) => {
  const { stdout, stderr } = await promisify(execFile)(join("node_modules/.bin", tool), args, {
    env: { ...process.env, NO_COLOR: "1" },
  }).catch((error) => error);
  return `${stdout}${stderr}`;
};

/** The generators. Each writes `client.ts` or `client/index.ts` into its folder. */
const generators: [name: string, generate: (into: string) => Promise<string>][] = [
  [
    "hey-api",
    (into) => run("openapi-ts", "-i", "openapi.yaml", "-o", join(into, "client"), "-c", "@hey-api/client-fetch"),
  ],
  [
    "swagger-typescript-api",
    (into) => run("swagger-typescript-api", "generate", "-p", "openapi.yaml", "-o", into, "-n", "client.ts"),
  ],
  ["oazapfts", (into) => run("oazapfts", "openapi.yaml", join(into, "client.ts"))],
];

test.each(generators)("%s", { timeout: 60_000 }, async (name, generate) => {
  const into = join(folder, name);
  await mkdir(into);
  expect(await generate(into)).not.toMatch(/warn|error|deprecat|unsupported|skip/i);

  await cp(`test/fixtures/generators/${name}.ts`, join(into, "main.ts"));
  await cp("test/fixtures/generators/walkThrough.ts", join(into, "walkThrough.ts"));
  const compilerOptions = {
    module: "preserve",
    moduleResolution: "bundler",
    target: "es2022",
    lib: ["es2022", "dom", "dom.iterable"],
    types: [],
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
  };
  await writeFile(join(into, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["main.ts"] }));
  expect(await run("tsc", "-p", into)).toBe("");

  const outfile = join(into, "main.mjs");
  await build({ entryPoints: [join(into, "main.ts")], outfile, bundle: true, platform: "node", format: "esm" });
  const { walkThrough } = (await import(pathToFileURL(outfile).href)) as { walkThrough: WalkThrough };
  const hello = `Hello, ${name}!`;
  expect(await walkThrough(service.url, { username: name, password })).toEqual({
    registered: name,
    withPassword: hello,
    withToken: hello,
    withBearer: hello,
    withWrongPassword: "/problems/invalid-credentials",
  });
});
