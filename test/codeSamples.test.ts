/** The code samples of the documentation do what they say: each is run as a developer would paste it. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { codeSamples } from "../scripts/docs/codeSamples.ts";
import { operationsOf, readContract } from "../scripts/docs/contract.ts";
import { sampleOrigin } from "../src/documentation/pages.ts";
import { password, startTestService } from "./support/service.ts";

const contract = await readContract();
const samples = operationsOf(contract).flatMap(({ method, path, operation }) =>
  codeSamples(contract, method, path, operation).map(({ label, source }) => {
    const status = Object.keys(operation.responses).find((one) => one.startsWith("2")) ?? "";
    return { id: operation.operationId, path, label, source, status };
  }),
);
const service = await startTestService();
const folder = await mkdtemp(join(tmpdir(), "latchkey-samples-"));
afterAll(() => rm(folder, { recursive: true }));
// curl shows the status only where it is asked to.
await writeFile(join(folder, ".curlrc"), 'silent\nwrite-out = "\\n%{http_code}"\n');

/** How a sample is run, and where in what it writes the status is. */
const languages = [
  { label: "curl", tool: "sh", version: "-c true", run: (source: string) => ["-c", source], status: /\n(\d{3})$/ },
  {
    label: "JavaScript",
    tool: process.execPath,
    version: "--version",
    run: (source: string) => ["--input-type=module", "-e", source],
    status: /^(\d{3})/,
  },
  {
    label: "Python",
    tool: "python3",
    version: "--version",
    run: (source: string) => ["-c", source],
    status: /^(\d{3})/,
  },
  { label: "Go", tool: "go", version: "version", run: () => ["run", "sample.go"], status: /^(\d{3})/ },
];
const isHere = (tool: string, version: string) => spawnSync(tool, version.split(" ")).status === 0;

test("every operation has a sample in every language", () => {
  expect(samples.length).toBe(operationsOf(contract).length * languages.length);
});

for (const { label, tool, version, run, status } of languages) {
  const ofLanguage = samples.filter((sample) => sample.label === label);
  if (!isHere(tool, version)) {
    console.warn(`${label} is not on this machine: its samples are looked at, and not run.`);
    test.each(ofLanguage)(`${label}, not run: $id`, ({ source }) => looksSound(source));
    continue;
  }

  describe(label, () => {
    let user = { id: "", username: "" };
    beforeEach(async () => {
      await service.sql("DELETE FROM users");
    });

    test.each(ofLanguage)("$id answers $status", async (sample) => {
      if (sample.id !== "createUser") user = await service.register("miguel");
      const session = await service.send("POST", "/api/sessions", { basic: ["miguel", password] });
      const { id, access_token, refresh_token } = session.status === 201 ? session.json : {};
      const source = sample.source
        .replaceAll(sampleOrigin, service.url)
        .replace("01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b", sample.path.startsWith("/api/sessions/") ? id : user.id);
      await writeFile(join(folder, "sample.go"), source);
      const { stdout } = await promisify(execFile)(tool, run(source), {
        cwd: folder,
        maxBuffer: 50_000_000,
        env: {
          ...process.env,
          CURL_HOME: folder,
          PASSWORD: password,
          CURRENT_PASSWORD: password,
          NEW_PASSWORD: "staple horse correct",
          TOKEN: access_token,
          REFRESH_TOKEN: refresh_token,
        },
      });
      expect(status.exec(stdout)?.[1], stdout.slice(0, 500)).toBe(sample.status);
    });
  });
}

/** As much of Go as can be told without it: brackets that close, and imports that are used, and only those. */
function looksSound(source: string): void {
  const code = source.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const open: string[] = [];
  for (const bracket of code.match(/[()[\]{}]/g) ?? []) {
    if ("([{".includes(bracket)) open.push(bracket);
    else expect(`${open.pop()}${bracket}`).toMatch(/^(\(\)|\[\]|\{\})$/);
  }
  expect(open).toEqual([]);
  const imported = [...source.matchAll(/^\t"(?:\w+\/)*(\w+)"$/gm)].map(([, name]) => name);
  const used = new Set([...code.matchAll(/\b([a-z]+)\.[A-Z]/g)].map(([, name]) => name));
  for (const local of ["request", "response"]) used.delete(local);
  expect(imported.sort()).toEqual([...used].sort());
}
