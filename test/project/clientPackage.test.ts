/** Whoever installs the package gets a client that compiles, runs, bundles and needs nothing of the service. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";

const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "latchkey-client-"));
afterAll(() => rm(folder, { recursive: true }));

const packing = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
const [{ filename }] = JSON.parse((await run("npm", packing)).stdout) as [{ filename: string }];
const tarball = join(folder, filename);
const consumer = join(folder, "consumer");
const latchkey = join(consumer, "node_modules/latchkey");
await mkdir(latchkey, { recursive: true });
await run("tar", ["-xzf", tarball, "--strip-components=1", "-C", latchkey]);
// All that the client needs. Outside of the project nothing else can be found.
for (const name of ["openapi-fetch", "openapi-typescript-helpers"]) {
  await cp(join("node_modules", name), join(consumer, "node_modules", name), { recursive: true });
}
await writeFile(join(consumer, "package.json"), JSON.stringify({ name: "consumer", type: "module" }));
const fixture = (name: string) => readFile(join("test/fixtures/client", name), "utf8");

const service = await startTestService();
await service.register("miguel");
await writeFile(join(consumer, "types.ts"), await fixture("types.ts"));
const example = (await fixture("example.ts")).replace("http://127.0.0.1:8080", service.url);
await writeFile(join(consumer, "example.ts"), example);

/** Where the types of fetch come from. */
const web = { lib: ["es2022", "dom"], types: [] };
const node = { lib: ["es2022"], types: ["node"], typeRoots: [resolve("node_modules/@types")] };

describe("compiles", { timeout: 120_000 }, () => {
  test.each([
    ["nodenext", true, "Node", node],
    ["nodenext", false, "a browser", web],
    ["bundler", true, "a browser", web],
    ["bundler", false, "Node", node],
  ])("for %s, exactOptionalPropertyTypes %s, in %s", async (moduleResolution, exact, _where, platform) => {
    const compilerOptions = {
      ...platform,
      module: moduleResolution === "bundler" ? "preserve" : "nodenext",
      moduleResolution,
      exactOptionalPropertyTypes: exact,
      target: "es2022",
      strict: true,
      skipLibCheck: false,
      noEmit: true,
    };
    const project = join(consumer, "tsconfig.json");
    await writeFile(project, JSON.stringify({ compilerOptions, files: ["types.ts", "example.ts"] }));
    await expect(run("node_modules/.bin/tsc", ["-p", project]).catch(({ stdout }) => stdout)).resolves.toEqual({
      stdout: "",
      stderr: "",
    });
  });
});

test("runs in Node, as the example says", async () => {
  await build({ entryPoints: [join(consumer, "example.ts")], outdir: consumer, format: "esm" });
  const { stdout, stderr } = await run(process.execPath, [join(consumer, "example.js")]);
  expect({ stdout, stderr }).toEqual({ stdout: "Hello, miguel!\nGoodbye.\n", stderr: "" });
});

describe("in a browser", () => {
  const bundle = async (contents: string) => {
    const { outputFiles, metafile, warnings } = await build({
      stdin: { contents, resolveDir: consumer },
      bundle: true,
      minify: true,
      platform: "browser",
      format: "iife",
      globalName: "bundled",
      write: false,
      metafile: true,
      logLevel: "silent", // warnings are expected below
    });
    const [output] = Object.values(metafile.outputs);
    const inputs = Object.entries(output?.inputs ?? {}).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
    const modules = inputs.map(([path]) => path.replace(/^.*node_modules\//, "")).filter((path) => path !== "<stdin>");
    return { text: outputFiles[0]?.text ?? "", modules, warnings: warnings.map(({ id }) => id) };
  };

  test("the client is small and alone, and works with what a browser has", async () => {
    const { text, modules, warnings } = await bundle('export { createLatchkeyClient } from "latchkey/client";');
    expect(warnings).toEqual([]);
    console.info(`the client in a browser, minified: ${text.length} bytes`);
    expect(text.length).toBeLessThan(20_000);
    for (const module of modules) {
      expect(module).toMatch(/^(latchkey\/dist\/(src\/client|generated)\/\w+\.js|openapi-fetch\/dist\/index\.mjs)$/);
    }
    const { fetch, Request, Response, Headers, FormData, URL, URLSearchParams, AbortController, AbortSignal } =
      globalThis;
    const { TextEncoder, btoa, setTimeout, clearTimeout } = globalThis;
    const page = createContext({
      ...{ fetch, Request, Response, Headers, FormData, URL, URLSearchParams, AbortController, AbortSignal },
      ...{ TextEncoder, btoa, setTimeout, clearTimeout },
    });
    runInContext(text, page);
    const script = `(async () => {
      const latchkey = bundled.createLatchkeyClient({ baseUrl: ${JSON.stringify(service.url)} });
      await latchkey.signIn("miguel", ${JSON.stringify(password)});
      return (await latchkey.GET("/api/resource")).data.data;
    })()`;
    await expect(runInContext(script, page)).resolves.toBe("Hello, miguel!");
  });

  test("what is not used is left out", async () => {
    const { text, modules } = await bundle('export { slugOf } from "latchkey/client";');
    expect(modules).toEqual(["latchkey/dist/src/client/problems.js"]);
    expect(text.length).toBeLessThan(1_000);
    // What is only imported does nothing, and bundlers are told so.
    expect((await bundle('import "latchkey/client";')).warnings).toEqual(["ignored-bare-import"]);
  });
});

test("publint has nothing to say", async () => {
  const { messages, pkg } = await publint({ pkgDir: latchkey, pack: false, strict: true });
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
});

test("are the types wrong? No", { timeout: 60_000 }, async () => {
  // It is for ES modules, and two of the exports are no modules at all.
  const options = ["--profile", "esm-only", "--exclude-entrypoints", "openapi.yaml", "dist/docs.html"];
  const { stdout } = await run("node_modules/.bin/attw", [tarball, ...options]); // rejects where it finds any
  expect(stdout).toContain('"latchkey/client"');
});

test("the guide shows the example that the tests run", async () => {
  expect(await readFile("docs/clients-and-tools.md", "utf8")).toContain(
    `\`\`\`ts\n${await fixture("example.ts")}\`\`\``,
  );
});
