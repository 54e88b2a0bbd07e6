/** The curl session of the README works as written, and prints the responses that the README shows. */
import { execFile } from "node:child_process";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { secretKey, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const readme = await readFile("README.md", "utf8");
const service = await startTestService();

type Step = { command: string; answer: string[] };

/** The lines of the `console` blocks: `$ ` starts a command, the lines after it are its response. */
function walkThrough(): Step[] {
  const steps: Step[] = [];
  for (const [, block = ""] of readme.matchAll(/^```console\n([\s\S]*?)^```$/gm)) {
    for (const line of block.trimEnd().split("\n")) {
      if (line.startsWith("$ ")) steps.push({ command: line.slice(2), answer: [] });
      else steps.at(-1)?.answer.push(line);
    }
  }
  return steps;
}

test("the curl session of the README works on a new service", { timeout: 180_000 }, async () => {
  const steps = walkThrough();
  expect(steps.length).toBeGreaterThan(8);
  const home = await temporaryFolder();
  // The commands stay unchanged: .curlrc redirects 127.0.0.1:8080 to the service under test.
  await writeFile(join(home, ".curlrc"), `connect-to = "127.0.0.1:8080:${new URL(service.url).host}"\nshow-error\n`);
  const mark = "-- the next command --";
  const script = steps.map(({ command }) => `${command}\necho; echo '${mark}'`).join("\n");
  // Commands use the database of the service. npx installs the project as for the first time.
  const npm = { npm_config_cache: join(home, "npm") };
  const env = { ...process.env, ...npm, CURL_HOME: home, DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
  const built = await stat("dist/src/main.js");
  const { stdout, stderr } = await promisify(execFile)("sh", ["-c", script], { env });

  expect((await stat("dist/src/main.js")).mtime, "npx does not build the project again").toEqual(built.mtime);

  const answers = stdout.split(mark).map((text) => text.trim().split(/\r?\n/));
  for (const [index, { command, answer }] of steps.entries()) {
    const given = answers[index] ?? [];
    for (const line of answer) {
      const pattern = line
        .split("…")
        .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
        .join(".+");
      expect(given, `${command}\n${stderr}`).toContainEqual(expect.stringMatching(new RegExp(`^${pattern}$`)));
    }
  }
});
