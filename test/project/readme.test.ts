/** What the README says to type works as it is written there, and answers what is written there. */
import { execFile } from "node:child_process";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startTestService } from "../support/service.ts";

const readme = await readFile("README.md", "utf8");
const service = await startTestService();

type Step = { command: string; answer: string[] };

/** The lines of the `console` blocks: `$ ` begins a command, the rest is its answer. */
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

test("the walk-through with curl, from a freshly started service", { timeout: 60_000 }, async () => {
  const steps = walkThrough();
  expect(steps.length).toBeGreaterThan(8);
  const home = await mkdtemp(join(tmpdir(), "latchkey-readme-"));
  // The lines stay as they are: curl itself is told where 127.0.0.1:8080 is today.
  await writeFile(join(home, ".curlrc"), `connect-to = "127.0.0.1:8080:${new URL(service.url).host}"\nshow-error\n`);
  const mark = "-- the next command --";
  const script = steps.map(({ command }) => `${command}\necho; echo '${mark}'`).join("\n");
  const { stdout } = await promisify(execFile)("sh", ["-c", script], { env: { ...process.env, CURL_HOME: home } });
  await rm(home, { recursive: true });

  const answers = stdout.split(mark).map((text) => text.trim().split(/\r?\n/));
  for (const [index, { command, answer }] of steps.entries()) {
    const given = answers[index] ?? [];
    for (const line of answer) {
      const pattern = line
        .split("…")
        .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
        .join(".+");
      expect(given, command).toContainEqual(expect.stringMatching(new RegExp(`^${pattern}$`)));
    }
  }
});

test.each(["README.md", "CONTRIBUTING.md", "STYLE.md", "RUNBOOK.md", "SECURITY.md"])(
  "every link of %s to a place in this project leads there",
  async (page) => {
    const links = [...(await readFile(page, "utf8")).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(
      ([, link = ""]) => link,
    );
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) {
      const [file, heading] = link.split("#");
      await expect(access(file || page), link).resolves.toBeUndefined();
      if (heading === undefined) continue;
      const headings = [...(await readFile(file || page, "utf8")).matchAll(/^#+ (.+)$/gm)];
      expect(headings.map(([, text = ""]) => text.toLowerCase().replaceAll(" ", "-"))).toContain(heading);
    }
  },
);
