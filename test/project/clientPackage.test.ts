/** The client of the installed package compiles, runs and bundles, and needs nothing of the service. */
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const run = promisify(execFile);
const folder = await temporaryFolder();

const packing = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
const [{ filename }] = JSON.parse((await run("npm", packing)).stdout) as [{ filename: string }];
const tarball = join(folder, filename);
const consumer = join(folder, "consumer");
const latchkey = join(consumer, "node_modules/latchkey");
await mkdir(latchkey, { recursive: true });
await run("tar", ["-xzf", tarball, "--strip-components=1", "-C", latchkey]);
// All dependencies of the client. No others can be resolved outside the project.
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

/** The sources of the types of fetch. */
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

test("runs the example in Node.js", async () => {
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

  test("the client is small, has no dependencies, and works in a browser", async () => {
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

  test("a bundler leaves out what is not used", async () => {
    const { text, modules } = await bundle('export { slugOf } from "latchkey/client";');
    expect(modules).toEqual(["latchkey/dist/src/client/problems.js"]);
    expect(text.length).toBeLessThan(1_000);
    // An import has no side effects, as package.json tells bundlers.
    expect((await bundle('import "latchkey/client";')).warnings).toEqual(["ignored-bare-import"]);
  });
});

test("publint reports nothing", async () => {
  const { messages, pkg } = await publint({ pkgDir: latchkey, pack: false, strict: true });
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
});

test("attw (are the types wrong?) reports nothing", { timeout: 60_000 }, async () => {
  // The package has ES modules only, and two of its exports are no modules.
  const options = ["--profile", "esm-only", "--exclude-entrypoints", "openapi.yaml", "dist/docs.html"];
  const { stdout } = await run("node_modules/.bin/attw", [tarball, ...options]); // rejects if it finds an error
  expect(stdout).toContain('"latchkey/client"');
});

test("the guide shows the example that the tests run", async () => {
  expect(await readFile("docs/clients-and-tools.md", "utf8")).toContain(
    `\`\`\`ts\n${await fixture("example.ts")}\`\`\``,
  );
});
