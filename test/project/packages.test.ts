/** Each published package, installed from its archive: it compiles, runs and bundles, and needs nothing of the others. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import { type BuildOptions, build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import ts from "typescript";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { freePort } from "../support/ports.ts";
import { password, startTestService, type TestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const run = promisify(execFile);
const folder = await temporaryFolder();
const consumer = join(folder, "consumer");
const installed = (name: string) => join(consumer, "node_modules", name);

type Packed = { name: string; filename: string; size: number; files: { path: string }[] };
const packing = ["pack", "--ignore-scripts", "--json", "--workspaces", "--include-workspace-root"];
const { stdout: packedText } = await run("npm", [...packing, "--pack-destination", folder], { maxBuffer: 2 ** 26 });
const packages = JSON.parse(packedText) as Packed[];
const names = packages.map(({ name }) => name);
const packed = (name: string) => packages.find((one) => one.name === name) as Packed;

for (const { name, filename } of packages) {
  await mkdir(installed(name), { recursive: true });
  await run("tar", ["-xzf", join(folder, filename), "--strip-components=1", "-C", installed(name)]);
}
// All dependencies of the two packages. No others can be resolved outside the project.
for (const name of ["openapi-fetch", "openapi-typescript-helpers", "yaml"]) {
  await cp(join("node_modules", name), installed(name), { recursive: true });
}
// A user of an adapter has installed its framework.
await symlink(resolve("node_modules/fastify"), installed("fastify"));
await writeFile(join(consumer, "package.json"), JSON.stringify({ name: "consumer", type: "module" }));

const fixture = (name: string) => readFile(join("test/fixtures/client", name), "utf8");
const manifestOf = async (name: string) => JSON.parse(await readFile(join(installed(name), "package.json"), "utf8"));

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
  await service.register("miguel");
  await writeFile(join(consumer, "types.ts"), await fixture("types.ts"));
  const example = (await fixture("example.ts")).replace("http://127.0.0.1:8080", service.url);
  await writeFile(join(consumer, "example.ts"), example);
});

describe.each(names)("%s", (name) => {
  test("contains what it exports, a README and the license, and no sources or tests", async () => {
    const { exports, version, engines, license } = await manifestOf(name);
    const paths = packed(name).files.map(({ path }) => path);
    const targets = Object.values(exports).flatMap((target) =>
      typeof target === "string" ? [target] : Object.values(target ?? {}),
    );
    expect(paths).toEqual(
      expect.arrayContaining(["README.md", "LICENSE", ...targets.map((path) => String(path).slice(2))]),
    );
    expect(paths).not.toContain(".attw.json");
    expect(paths.filter((path) => /(^|\/)(test|src)\/.*\.ts$|\.test\./.test(path) && !path.endsWith(".d.ts"))).toEqual(
      [],
    );
    const own = await manifestOf("latchkey");
    expect({ version, engines, license }).toEqual({ version: own.version, engines: own.engines, license: "MIT" });
    expect(await readFile(join(installed(name), "LICENSE"), "utf8")).toBe(await readFile("LICENSE", "utf8"));
  });

  test("publint reports nothing", async () => {
    const { messages, pkg } = await publint({ pkgDir: installed(name), pack: false, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  test("attw (are the types wrong?) reports nothing", { timeout: 60_000 }, async () => {
    // In the folder of the package, where attw reads .attw.json: there are ES modules only, and two exports are no modules.
    const cwd = name === "latchkey" ? "." : join("packages", name.replace("@latchkey/", ""));
    const attw = resolve("node_modules/.bin/attw");
    const { stdout } = await run(attw, [join(folder, packed(name).filename)], { cwd }); // rejects if it finds an error
    expect(stdout).toContain(name);
  });
});

test("every folder of packages/ is packed, and has its README and license", async () => {
  const folders = (await readdir("packages")).map((name) => `@latchkey/${name}`);
  expect(names).toEqual(expect.arrayContaining(["latchkey", ...folders]));
  expect(names).toHaveLength(folders.length + 1);
});

test("the packages for other programs are small, and have at most one dependency", async () => {
  for (const name of ["@latchkey/client", "@latchkey/verify"]) {
    expect(Object.keys((await manifestOf(name)).dependencies ?? {}).length).toBeLessThanOrEqual(1);
    console.info(`${name}, packed: ${packed(name).size} bytes`);
  }
  expect(packed("@latchkey/verify").size).toBeLessThan(30_000);
  expect(packed("@latchkey/client").size).toBeLessThan(50_000);
});

test("an uncaught exception prints a short line of the package", async () => {
  await writeFile(
    join(consumer, "throws.js"),
    'import { createVerifier } from "@latchkey/verify";\ncreateVerifier({ issuer: "latchkey", audience: "orders" });\n',
  );
  const { stderr } = await run(process.execPath, [join(consumer, "throws.js")]).catch((error) => error);
  expect(stderr).toContain("TypeError: issuer must be");
  expect(Math.max(...stderr.split("\n").map((line: string) => line.length))).toBeLessThan(1_000);
  for (const name of ["@latchkey/client", "@latchkey/verify"]) {
    const modules = packed(name).files.filter(({ path }) => path.endsWith(".js"));
    const texts = await Promise.all(modules.map(({ path }) => readFile(join(installed(name), path), "utf8")));
    expect(
      Math.max(
        ...texts
          .join("\n")
          .split("\n")
          .map(({ length }) => length),
      ),
    ).toBeLessThan(1_500);
  }
});

describe("a program that waits for the verifier before it listens", () => {
  /** Starts it, and waits until it has said that a request has failed. */
  async function startWaiting(issuer: string) {
    const options = JSON.stringify({ issuer, audience: "orders", credential: "key" });
    const script = join(consumer, "waits.js");
    await writeFile(
      script,
      `import { createVerifier } from "@latchkey/verify";
       const verifier = createVerifier(${options});
       await new Promise((resolve) => setTimeout(resolve, 300)); // reads its contract, for example
       await verifier.ready();`,
    );
    const program = spawn(process.execPath, [script], { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    program.stderr.on("data", (text) => {
      stderr += text;
    });
    const exit = new Promise<number | null>((end) => program.once("exit", end));
    onTestFinished(async () => {
      program.kill();
      await exit;
    });
    await vi.waitUntil(() => stderr !== "", 10_000);
    return { exit, output: () => stderr };
  }

  test("ends with the reason if Latchkey rejects its requests", async () => {
    const server = createServer((_request, response) => response.writeHead(403).end());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { exit, output } = await startWaiting(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await exit).toBe(1);
    expect(output()).toContain("Error: The");
    expect(output()).toContain("needs the scopes");
  });

  test("waits while Latchkey is not reachable", async () => {
    const { exit } = await startWaiting(`http://127.0.0.1:${await freePort()}`);
    const waited = new Promise((end) => setTimeout(end, 2_500, "still waits"));
    expect(await Promise.race([exit, waited])).toBe("still waits");
  });
});

describe("compiles", { timeout: 60_000 }, () => {
  /** The sources of the types of fetch. */
  const web = { lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"], types: [] };
  const node = { lib: ["lib.es2022.d.ts"], types: ["node"], typeRoots: [resolve("node_modules/@types")] };
  const parsed = new Map<string, ts.SourceFile>();

  /** @returns what the compiler reports. The libraries of the compiler are parsed once. */
  function compile(files: string[], options: ts.CompilerOptions): string {
    const host = ts.createCompilerHost(options);
    const { getSourceFile } = host;
    host.getSourceFile = (name, ...rest) => {
      const known = parsed.get(name) ?? getSourceFile.call(host, name, ...rest);
      if (known && /\/typescript\/lib\/|\/@types\/node\//.test(name)) parsed.set(name, known);
      return known;
    };
    const program = ts.createProgram({ rootNames: files.map((file) => join(consumer, file)), options, host });
    return ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host);
  }
  const { NodeNext, Preserve } = ts.ModuleKind;

  test.each([
    ["nodenext", true, "Node", node, NodeNext],
    ["nodenext", false, "a browser", web, NodeNext],
    ["bundler", true, "a browser", web, Preserve],
    ["bundler", false, "Node", node, Preserve],
  ])("for %s, exactOptionalPropertyTypes %s, in %s", async (_resolution, exact, where, platform, module) => {
    const options: ts.CompilerOptions = {
      ...platform,
      module,
      moduleResolution: module === Preserve ? ts.ModuleResolutionKind.Bundler : ts.ModuleResolutionKind.NodeNext,
      exactOptionalPropertyTypes: exact,
      target: ts.ScriptTarget.ES2022,
      strict: true,
      skipLibCheck: false,
      skipDefaultLibCheck: true, // those of TypeScript
      noEmit: true,
    };
    const entries = Object.entries((await manifestOf("@latchkey/verify")).exports as Record<string, object | string>)
      .filter(([, target]) => typeof target === "object")
      .map(
        ([path], index) => `import * as entry${index} from "@latchkey/verify${path.slice(1)}";\nvoid entry${index};\n`,
      );
    await writeFile(join(consumer, "verify.ts"), entries.join(""));
    expect(compile(["types.ts", "example.ts", ...(where === "Node" ? ["verify.ts"] : [])], options)).toBe("");
  });
});

test("the client runs the example in Node.js, also under its former name", async () => {
  const formerly = (await readFile(join(consumer, "example.ts"), "utf8")).replace(
    "@latchkey/client",
    "latchkey/client",
  );
  await writeFile(join(consumer, "formerly.ts"), formerly);
  for (const name of ["example", "formerly"]) {
    await build({ entryPoints: [join(consumer, `${name}.ts`)], outdir: consumer, format: "esm" });
    const { stdout, stderr } = await run(process.execPath, [join(consumer, `${name}.js`)]);
    expect({ stdout, stderr }).toEqual({ stdout: "Hello, miguel!\nGoodbye.\n", stderr: "" });
  }
});

const bundle = async (contents: string, options: BuildOptions = {}) => {
  const { outputFiles, metafile, warnings } = await build({
    stdin: { contents, resolveDir: consumer },
    bundle: true,
    minify: true,
    platform: "browser",
    format: "iife",
    globalName: "bundled",
    logLevel: "silent", // warnings are expected below
    ...options,
    metafile: true,
    write: false,
  });
  const [output] = Object.values(metafile.outputs);
  const inputs = Object.entries(output?.inputs ?? {}).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const modules = inputs.map(([path]) => path.replace(/^.*node_modules\//, "")).filter((path) => path !== "<stdin>");
  const text = outputFiles?.[0]?.text ?? "";
  return { text, modules, warnings: warnings.map(({ id }) => id), imports: output?.imports ?? [] };
};

describe("in a browser", () => {
  test("the client is small, has no other dependencies, and works", async () => {
    const { text, modules, warnings } = await bundle('export { createLatchkeyClient } from "@latchkey/client";');
    expect(warnings).toEqual([]);
    console.info(`the client in a browser, minified: ${text.length} bytes`);
    expect(text.length).toBeLessThan(20_000);
    for (const module of modules) {
      expect(module).toMatch(/^(@latchkey\/client\/dist\/(shared\/)?\w+\.js|openapi-fetch\/dist\/index\.mjs)$/);
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
    const { text, modules } = await bundle('export { slugOf } from "@latchkey/client";');
    expect(modules).toEqual(["@latchkey/client/dist/index.js"]);
    expect(text.length).toBeLessThan(1_000);
    // An import has no side effects, as package.json tells bundlers.
    expect((await bundle('import "@latchkey/client";')).warnings).toEqual(["ignored-bare-import"]);
  });
});

test("the verifier uses Web standards, and of Node.js only modules that Deno and Bun have as well", async () => {
  const { warnings, imports } = await bundle('export * from "@latchkey/verify";', {
    platform: "neutral",
    format: "esm",
    external: ["node:*"],
  });
  expect(warnings).toEqual([]);
  for (const { path, kind } of imports)
    expect([kind, path]).toEqual([kind, expect.stringMatching(/^node:(fs\/promises|crypto)$/)]);
});

test("the guide shows the example that the tests run", async () => {
  expect(await readFile("docs/clients-and-tools.md", "utf8")).toContain(
    `\`\`\`ts\n${await fixture("example.ts")}\`\`\``,
  );
});
