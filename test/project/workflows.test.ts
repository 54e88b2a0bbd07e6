/** A running service behaves as the steps of workflows.arazzo.yaml describe. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

type Step = { stepId: string; description?: string; successCriteria?: { condition: string }[] };
const { workflows } = parse(await readFile("workflows.arazzo.yaml", "utf8")) as {
  workflows: { workflowId: string; summary?: string; description?: string; steps: Step[] }[];
};

type Check = { name: string; passed: boolean; condition?: string };
type Walked = { workflowId: string; executedSteps: { stepId: string; checks: Check[] }[] };

const folder = await temporaryFolder();

/** Runs all workflows. Returns the exit status, and the result of each check of each step. */
async function walk(url: string, report: string): Promise<{ exitCode: unknown; walked: Walked[] }> {
  const file = join(folder, report);
  const args = ["respect", "workflows.arazzo.yaml", "--server", `latchkey=${url}`, "--json-output", file];
  const exitCode = await new Promise((resolve) => {
    execFile("node_modules/.bin/redocly", args, (error) => resolve(error ? error.code : 0));
  });
  const { files } = JSON.parse(await readFile(file, "utf8")) as {
    files: Record<string, { executedWorkflows: Walked[] }>;
  };
  return { exitCode, walked: files["workflows.arazzo.yaml"]?.executedWorkflows ?? [] };
}

/** The report replaces every value that the contract calls a password with stars. */
function isShownAs(reported: string | undefined, condition: string): boolean {
  const [start, end] = reported?.split("********") ?? [];
  if (start === undefined || end === undefined) return reported === condition;
  return condition.startsWith(start) && condition.endsWith(end);
}

const failures = (walked: Walked[]) =>
  walked.flatMap(({ workflowId, executedSteps }) =>
    executedSteps.flatMap(({ stepId, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ condition }) => `${workflowId} ${stepId} ${condition}`),
    ),
  );

test("every workflow runs to its end, and leaves no data behind", { timeout: 60_000 }, async () => {
  // A slow machine must not be mistaken for a thief.
  const service = await startTestService({ REFRESH_GRACE_SECONDS: "300", PASSWORD_BLOCKLIST: "on" });
  await service.administrator();
  const { exitCode, walked } = await walk(service.url, "as-written.json");
  expect(failures(walked)).toEqual([]);
  expect(exitCode).toBe(0);
  const outline = (name: string, steps: { stepId: string }[]) => [name, ...steps.map(({ stepId }) => stepId)];
  expect(walked.map(({ workflowId, executedSteps }) => outline(workflowId, executedSteps))).toEqual(
    workflows.map(({ workflowId, steps }) => outline(workflowId, steps)),
  );
  for (const [index, { steps }] of workflows.entries()) {
    for (const [step, { successCriteria }] of steps.entries()) {
      const checked = walked[index]?.executedSteps[step]?.checks.map(({ condition }) => condition) ?? [];
      for (const { condition } of successCriteria ?? []) {
        expect(checked.some((reported) => isShownAs(reported, condition))).toBe(true);
      }
    }
  }
  expect(await service.sql("SELECT username FROM users")).toEqual([{ username: "administrator" }]);
  for (const table of ["apis", "api_keys", "clients"]) expect(await service.sql(`SELECT * FROM ${table}`)).toEqual([]);
  const builtIn = ["administrator", "default"].map((name) => ({ name }));
  expect(await service.sql("SELECT name FROM roles ORDER BY name")).toEqual(builtIn);
});

test("an unexpected response fails its own step only", { timeout: 60_000 }, async () => {
  const service = await startTestService({ REFRESH_GRACE_SECONDS: "300" });
  await service.administrator();
  const { exitCode, walked } = await walk(service.url, "without-blocklist.json");
  expect(exitCode).toBe(1);
  expect(failures(walked)).toEqual([
    "passwordChange changeToWeakPassword $statusCode == 422",
    "passwordChange changeToWeakPassword (^|/)problems/password-refused$",
    "passwordChange changeToWeakPassword $response.body#/reason == 'too-predictable'",
  ]);
});

test("every workflow and step has a description and an expected status", () => {
  for (const { workflowId, summary, description, steps } of workflows) {
    expect([summary, description], workflowId).not.toContain(undefined);
    for (const step of steps) {
      expect(step.description, `${workflowId} ${step.stepId}`).toBeDefined();
      expect(step.successCriteria?.[0]?.condition, `${workflowId} ${step.stepId}`).toMatch(/^\$statusCode == \d{3}$/);
    }
  }
});
