/** `npm run build` builds what has changed, and nothing otherwise. The steps are programs that only write down that they ran. */
import { execFile } from "node:child_process";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const loader = resolve("node_modules/tsx/dist/loader.mjs");

/** A project with one source file. `build` returns how many steps ran. */
async function project() {
  const path = await temporaryFolder();
  const at = (file: string) => join(path, file);
  for (const folder of ["bin", "src", "scripts", "packages/verify/dist"]) await mkdir(at(folder), { recursive: true });
  await copyFile("scripts/build.ts", at("scripts/build.ts"));
  await writeFile(at("package.json"), '{ "type": "module" }');
  await writeFile(at("src/main.ts"), "1");
  await writeFile(at("bin/tsc"), "#!/bin/sh\nmkdir -p dist\ncp src/main.ts dist/main.js\necho tsc >> steps\n", {
    mode: 0o755,
  });
  await writeFile(at("bin/tsx"), '#!/bin/sh\necho "$1" >> steps\ntest ! -e broken\n', { mode: 0o755 });
  const env = { ...process.env, PATH: [at("bin"), process.env.PATH].join(delimiter) };
  return {
    at,
    async build() {
      await rm(at("steps"), { force: true });
      const status = await promisify(execFile)(process.execPath, ["--import", loader, "scripts/build.ts"], {
        cwd: path,
        env,
      }).then(
        () => 0,
        ({ code }: { code: number }) => code,
      );
      const steps = await readFile(at("steps"), "utf8").catch(() => "");
      return { status, steps: steps.split("\n").length - 1 };
    },
  };
}

const built = { status: 0, steps: 4 };
const skipped = { status: 0, steps: 0 };

test("a build is skipped if nothing has changed since the last one", async () => {
  const { at, build } = await project();
  expect(await build()).toEqual(built);
  expect(await build()).toEqual(skipped);
  await writeFile(at("src/main.ts"), "2");
  expect(await build()).toEqual(built);
  await writeFile(at("src/other.ts"), "2");
  expect(await build()).toEqual(built);
  await writeFile(at("package-lock.json"), "{}");
  expect(await build()).toEqual(built);
  expect(await build()).toEqual(skipped);
});

test("a build is not skipped if its results are missing or were altered", async () => {
  const { at, build } = await project();
  await writeFile(at("packages/verify/dist/index.js"), "1");
  expect(await build()).toEqual(built);
  await writeFile(at("dist/main.js"), "2");
  expect(await build()).toEqual(built);
  await rm(at("dist"), { recursive: true });
  expect(await build()).toEqual(built);
  await rm(at("packages/verify/dist/index.js"));
  expect(await build()).toEqual(built);
  await mkdir(at("dist/site"));
  await writeFile(at("dist/site/index.html"), "written by npm run docs");
  expect(await build()).toEqual(skipped);
});

test("a build that failed is repeated", async () => {
  const { at, build } = await project();
  expect(await build()).toEqual(built);
  await writeFile(at("broken"), "");
  await writeFile(at("src/main.ts"), "2");
  expect(await build()).toEqual({ status: 1, steps: 2 });
  await writeFile(at("src/main.ts"), "1");
  expect(await build()).toEqual({ status: 1, steps: 2 });
  await rm(at("broken"));
  expect(await build()).toEqual(built);
});
