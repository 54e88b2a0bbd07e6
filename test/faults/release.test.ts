/** `npm run release`, in a copy of this repository. */
import { execFile } from "node:child_process";
import { appendFile, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { withRelease } from "../../scripts/changelog.ts";
import { compareVersions, nextVersion } from "../../scripts/versions.ts";
import { copyProject } from "../support/projectCopy.ts";

const workspaces = (await readdir("packages")).map((folder) => `packages/${folder}`);
const today = new Date().toISOString().slice(0, 10);

/** A repository with this project. Its checks only log their names: lint and the compiler would take half a minute. */
async function repository() {
  const { path, edit } = await copyProject();
  const inFolder = async (file: string, args: string[]) => {
    // Ignore the Git configuration of the developer.
    const env = { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CEILING_DIRECTORIES: tmpdir() };
    const { stdout, stderr, code } = await promisify(execFile)(file, args, { cwd: path, env }).then(
      (output) => ({ ...output, code: 0 }),
      (error: { stdout: string; stderr: string; code: number }) => error,
    );
    return { status: code, output: stdout + stderr };
  };
  const git = async (...args: string[]) => (await inFolder("git", args)).output.trim();
  const commit = async () => {
    await git("add", ".");
    await git("commit", "--quiet", "--message", "Change something");
  };
  const packageFile = join(path, "package.json");
  const { scripts, ...rest } = JSON.parse(await readFile(packageFile, "utf8"));
  for (const check of ["lint", "typecheck", "check:generated", "build"])
    scripts[check] = `echo ${check} >> build/checks`;
  await writeFile(packageFile, JSON.stringify({ ...rest, scripts }, null, 2));
  // As if this contract were the released one.
  const lock = JSON.parse(await readFile(join(path, "package-lock.json"), "utf8"));
  lock.version = "0.1.0";
  for (const at of ["", ...workspaces]) lock.packages[at].version = "0.1.0";
  await writeFile(join(path, "package-lock.json"), JSON.stringify(lock, null, 2));
  const versioned = [
    "openapi.yaml",
    "workflows.arazzo.yaml",
    "package.json",
    ...workspaces.map((at) => `${at}/package.json`),
  ];
  for (const file of versioned) {
    const text = await readFile(join(path, file), "utf8");
    await writeFile(
      join(path, file),
      text.replace(/^( {2}"?version"?: "?)[\d.]+/m, (_, name) => `${name}0.1.0`),
    );
  }
  await copyFile(join(path, "openapi.yaml"), join(path, "contract/released.yaml"));
  await git("init", "--quiet", "--initial-branch=main");
  await git("config", "user.name", "x");
  await git("config", "user.email", "x@example.org");
  await mkdir(join(path, "build"));
  await commit();
  return {
    commit,
    edit,
    git,
    release: (...args: string[]) =>
      inFolder(process.execPath, [
        "--import",
        resolve("node_modules/tsx/dist/loader.mjs"),
        resolve(path, "scripts/release.ts"),
        ...args,
      ]),
    append: (file: string, text: string) => appendFile(join(path, file), text),
    read: (file: string) => readFile(join(path, file), "utf8"),
    /** Adds an entry to the changelog and commits everything. */
    async change(entry: string) {
      await edit("CHANGELOG.md", "## Unreleased\n", `## Unreleased\n\n### Fixed\n\n- ${entry}\n`);
      await commit();
    },
  };
}

describe("npm run release", () => {
  test("releases, commits and tags; the next release must rise as the contract changed", {
    timeout: 240_000,
  }, async () => {
    const { change, edit, git, read, release } = await repository();

    // Before the first release, the version of the package may stay.
    await change("A first fix.");
    expect(await release()).toMatchObject({
      status: 0,
      output: expect.stringContaining("Committed and tagged v0.1.0"),
    });
    expect(await read("build/checks")).toBe("lint\ntypecheck\ncheck:generated\nbuild\n");
    expect(await read("CHANGELOG.md")).toContain(
      `\n## Unreleased\n\n## 0.1.0 - ${today}\n\n### Fixed\n\n- A first fix.\n`,
    );
    expect(await git("show", "--no-patch", "--format=%s", "v0.1.0^{commit}")).toBe("Release 0.1.0");
    expect(await git("cat-file", "-t", "v0.1.0")).toBe("tag");
    expect(await git("status", "--porcelain")).toBe("");

    expect(await release()).toMatchObject({
      status: 1,
      output: expect.stringContaining("CHANGELOG.md has no entries under Unreleased."),
    });

    // A breaking change needs a new minor version before 1.0.0.
    await edit("openapi.yaml", "operationId: listSessions", "operationId: getSessions");
    await change("Rename an operation.");
    const refused = await release("0.1.1");
    expect(refused).toMatchObject({
      status: 1,
      output: expect.stringContaining("is named getSessions, was listSessions"),
    });
    expect(refused.output).toContain("The version must be at least 0.2.0, not 0.1.1.");

    // A dry run shows all this, and changes nothing.
    const head = await git("rev-parse", "HEAD");
    const dry = await release("--dry-run");
    expect(dry).toMatchObject({ status: 0, output: expect.stringContaining("Release 0.2.0.") });
    expect(dry.output).toContain(`## 0.2.0 - ${today}\n\n### Contract\n\n- Breaking: is named getSessions`);
    expect(await git("status", "--porcelain")).toBe("");
    expect(await git("tag")).toBe("v0.1.0");

    expect(await release()).toMatchObject({
      status: 0,
      output: expect.stringContaining("Committed and tagged v0.2.0"),
    });
    expect(await git("rev-parse", "HEAD^")).toBe(head);
    expect(await git("status", "--porcelain")).toBe("");
    for (const file of ["package.json", ...workspaces.map((folder) => `${folder}/package.json`)]) {
      expect(JSON.parse(await read(file)).version).toBe("0.2.0");
    }
    const lock = JSON.parse(await read("package-lock.json"));
    for (const { version } of [lock, ...["", ...workspaces].map((folder) => lock.packages[folder])])
      expect(version).toBe("0.2.0");
    for (const file of ["openapi.yaml", "workflows.arazzo.yaml", "contract/released.yaml"]) {
      expect(parse(await read(file)).info.version).toBe("0.2.0");
    }
    expect(parse(await read("contract/released.yaml"))).toEqual(parse(await read("openapi.yaml")));

    // Changes without effect on clients need a patch version only.
    await edit("openapi.yaml", "title: Latchkey", "title: Latch");
    await change("Rename the contract.");
    expect(await release("--dry-run")).toMatchObject({ status: 0, output: expect.stringContaining("Release 0.2.1.") });
  });

  test("releases nothing if a check fails, and nothing from a working tree with changes", {
    timeout: 180_000,
  }, async () => {
    const { append, commit, edit, git, release } = await repository();
    await append("README.md", "\nMore.\n");
    expect(await release()).toMatchObject({
      status: 1,
      output: expect.stringContaining("The working tree has changes"),
    });

    await edit("package.json", "echo typecheck >> build/checks", "exit 3");
    await commit();
    const head = await git("rev-parse", "HEAD");
    expect(await release()).toMatchObject({
      status: 1,
      output: expect.stringContaining("npm run --silent typecheck failed."),
    });
    expect([await git("rev-parse", "HEAD"), await git("status", "--porcelain"), await git("tag")]).toEqual([
      head,
      "",
      "",
    ]);
  });

  test("leaves the working tree as it was if the commit fails", { timeout: 180_000 }, async () => {
    const { git, release } = await repository();
    await git("config", "user.useConfigOnly", "true");
    await git("config", "--unset", "user.email");
    expect(await release()).toMatchObject({ status: 1, output: expect.stringContaining("Nothing was released") });
    expect([await git("status", "--porcelain"), await git("tag")]).toEqual(["", ""]);
  });
});

test.each([
  ["1.2.3", [], "1.2.4"],
  ["1.2.3", ["changed"], "1.3.0"],
  ["1.2.3", ["added"], "1.3.0"],
  ["1.2.3", ["added", "breaking"], "2.0.0"],
  ["0.2.3", ["added"], "0.2.4"],
  ["0.2.3", ["breaking"], "0.3.0"],
] as const)("after %s, changes of the kinds %j need %s", (released, verdicts, expected) => {
  expect(
    nextVersion(
      released,
      verdicts.map((verdict) => ({ verdict })),
    ),
  ).toBe(expected);
});

test("versions are compared by their numbers", () => {
  expect(["0.10.0", "0.9.1", "0.9.0", "1.0.0"].sort(compareVersions)).toEqual(["0.9.0", "0.9.1", "0.10.0", "1.0.0"]);
  expect(() => compareVersions("1.0", "1.0.0")).toThrow("1.0 is not a version such as 1.2.3.");
});

test("earlier sections of the changelog stay as they are", () => {
  const changelog = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.1.0 - 2026-01-02\n\n- Old.\n";
  expect(withRelease(changelog, "0.2.0", "2026-03-04")).toBe(
    "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-03-04\n\n- New.\n\n## 0.1.0 - 2026-01-02\n\n- Old.\n",
  );
});
