/** `npm run mutate`: applies the faults in list/ one by one. Fails unless the named tests detect each of them. */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, relative } from "node:path";
import { parseArgs } from "node:util";
import { compileTogether, openCompiler } from "./compiler.ts";
import { type Lane, openLane } from "./lanes.ts";
import { mutations } from "./list/all.ts";
import { edit, type Mutation } from "./mutation.ts";

const help = `Usage: npm run mutate -- [options] [NAME…]

Applies deliberate faults to copies of the project, one at a time, and runs the tests that are listed with each.
Fails if a fault is not detected. NAME is a part of a fault's name, or a file. Default: all faults.

Options:
  --check          Only check that each search text occurs exactly once in its file, and that the faults compile.
  --tests=FILE     Fail for faults whose tests are not in this report of Vitest. Repeat it for several reports.
  --list           List the names.
  --skip-baseline  Only check that the tests pass without the faults if several faults have run in one process.
  --verbose        Show the failed assertions.
  --lanes=NUMBER   Number of faults to test at the same time (default: 2).
  --minutes=NUMBER Begin with no other test file after this time. The order is random then, so that each run tries others.
  --report=FILE    Write the results as JSON, like Vitest's reporter.
  --help           Show this text.
`;

type Outcome = { mutation: Mutation; problem: string | undefined; seconds: number };
type Group = [Mutation, ...Mutation[]];
/** What is read of a report of Vitest. */
type Report = { testResults: { name: string; assertionResults: { fullName: string }[] }[] };

/** Bounds the memory of a process, which keeps a part of what each run has loaded. */
const maxRunsOfProcess = 40;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: "boolean" },
    tests: { type: "string", multiple: true, default: [] },
    list: { type: "boolean" },
    "skip-baseline": { type: "boolean" },
    verbose: { type: "boolean" },
    lanes: { type: "string", default: "2" },
    minutes: { type: "string" },
    report: { type: "string" },
    help: { type: "boolean" },
  },
});
const chosen = mutations.filter(
  ({ name, file }) => positionals.length === 0 || positionals.some((part) => name.includes(part) || file === part),
);

if (values.help) process.stdout.write(help);
else if (values.list) process.stdout.write(chosen.map(({ name, file }) => `${name} (${file})\n`).join(""));
else process.exitCode = (values.check ? await check() : await applyAll()) ? 0 : 1;

/** @returns whether each search text occurs exactly once, each fault compiles, and each name is unique */
async function check(): Promise<boolean> {
  const names = mutations.map(({ name }) => name);
  const problems = names.filter((name, index) => names.indexOf(name) < index).map((name) => `${name}: not unique`);
  const compile = openCompiler();
  const applicable: Mutation[] = [];
  for (const mutation of mutations) {
    try {
      edit(mutation, await readFile(mutation.file, "utf8"));
      if (!existsSync(mutation.test)) throw new Error(`${mutation.test} does not exist`);
      applicable.push(mutation);
    } catch (error) {
      problems.push(`${mutation.name}: ${(error as Error).message}`);
    }
  }
  for (const mutation of compileTogether(applicable)) {
    const compilerError = compile(mutation);
    if (compilerError) problems.push(`${mutation.name}: does not compile: ${compilerError}`);
  }
  for (const problem of problems) console.error(problem);
  console.log(`${mutations.length} mutations, ${problems.length} problems`);
  return problems.length === 0;
}

/** @returns whether the tests detected every fault */
async function applyAll(): Promise<boolean> {
  if (chosen.length === 0) throw new Error("No fault has this name. See --list.");
  if (!existsSync("dist/docs.html")) throw new Error("Run `npm run build` first.");
  const compile = openCompiler();
  const outcomes = (await withoutTest(values.tests)).map((mutation) => report(mutation, 0, noTestOf(mutation)));
  const tried = chosen.filter((mutation) => !outcomes.some((outcome) => outcome.mutation === mutation));
  // Faults with the same test file run in one process, one after the other. The largest groups come first, so that all lanes end
  // at about the same time.
  const queue = [...new Set(tried.map(({ test }) => test))]
    .map((file): Group => tried.filter(({ test }) => test === file) as Group)
    .sort((a, b) => b.length - a.length);
  const deadline = values.minutes === undefined ? Infinity : performance.now() + Number(values.minutes) * 60_000;
  if (deadline !== Infinity) shuffle(queue);

  const attempt = async (lane: Lane, mutation: Mutation, isFresh: boolean): Promise<Outcome> => {
    const began = performance.now();
    const problem = await apply(lane, mutation, isFresh).catch((error: Error) => error.message);
    return report(mutation, (performance.now() - began) / 1000, problem);
  };
  const apply = async (lane: Lane, mutation: Mutation, isFresh: boolean): Promise<string | undefined> => {
    const compilerError = compile(mutation);
    if (compilerError) return `does not compile: ${compilerError}`;
    const { failed, passed, errors, reasons } = await lane.run(mutation, { isEdited: true, isFresh });
    if (reasons.some((reason) => /^(SyntaxError|ReferenceError)/.test(reason))) return `broken: ${reasons.join("; ")}`;
    if (values.verbose) console.log([...failed, ...reasons].join("\n"));
    if (failed.length > 0) return undefined;
    if (errors.length > 0) return `no test failed, but there were errors: ${errors.join("; ")}`;
    return passed === 0 ? noTestOf(mutation) : `survived /${mutation.only}/ in ${mutation.test}`;
  };
  /** Runs all tests of a group without a fault. @returns why they prove nothing */
  const failureWithoutFault = async (lane: Lane, [first, ...others]: Group, isFresh: boolean): Promise<string> => {
    const only = [first, ...others].map((mutation) => `(?:${mutation.only})`).join("|");
    const run = lane.run({ ...first, only }, { isEdited: false, isFresh });
    return run.then(
      ({ failed, errors }) => [...failed, ...errors].join("; "),
      (error: Error) => error.message,
    );
  };
  const attemptAll = async (lane: Lane, group: Group, isFresh: boolean): Promise<Outcome[]> => {
    const found: Outcome[] = [];
    for (const mutation of group) found.push(await attempt(lane, mutation, isFresh && found.length === 0));
    if (group.length === 1 && values["skip-baseline"]) return found;
    // A fault of this group or an earlier one may have changed the process, so that later tests failed because of it.
    if ((await failureWithoutFault(lane, group, false)) === "") return found;
    const failure = values["skip-baseline"] ? "" : await failureWithoutFault(lane, group, true);
    if (failure !== "") return group.map((mutation) => report(mutation, 0, `tests fail without the fault: ${failure}`));
    console.log(`once more, each in a process of its own: ${group[0].test}`);
    const repeated: Outcome[] = [];
    for (const mutation of group) repeated.push(await attempt(lane, mutation, true));
    return repeated;
  };
  const work = async (): Promise<void> => {
    const lane = await openLane();
    try {
      let runs = Infinity;
      for (let group = queue.shift(); group; group = queue.shift()) {
        // A group of one is not followed by a run without the fault.
        const isFresh = group.length === 1 || runs + group.length > maxRunsOfProcess;
        runs = group.length + (isFresh ? 0 : runs);
        outcomes.push(...(await attemptAll(lane, group, isFresh)));
        if (performance.now() > deadline) return;
      }
    } finally {
      await lane.close();
    }
  };
  process.on("SIGINT", () => queue.splice(0));
  process.on("SIGTERM", () => queue.splice(0));
  await Promise.all(Array.from({ length: Number(values.lanes) }, work));

  const failed = outcomes.filter(({ problem }) => problem !== undefined).length;
  if (values.report) await writeReport(values.report, outcomes);
  const notTried = chosen.length - outcomes.length;
  console.log(`${outcomes.length - failed} killed, ${failed} failed${notTried > 0 ? `, ${notTried} not tried` : ""}`);
  return failed === 0 && (notTried === 0 || deadline !== Infinity);
}

function noTestOf({ only, test }: Mutation): string {
  return `no test matches /${only}/ in ${test}`;
}

/** @returns the faults whose tests are not in the reports; none if there are no reports */
async function withoutTest(reports: string[]): Promise<Mutation[]> {
  if (reports.length === 0) return [];
  const names = new Map<string, string[]>();
  for (const file of reports) {
    const { testResults } = JSON.parse(await readFile(file, "utf8")) as Report;
    for (const { name, assertionResults } of testResults) {
      const test = relative(".", name);
      names.set(test, [...(names.get(test) ?? []), ...assertionResults.map(({ fullName }) => fullName)]);
    }
  }
  return chosen.filter(({ test, only }) => !names.get(test)?.some((name) => new RegExp(only).test(name)));
}

/** Fisher-Yates. */
function shuffle(items: unknown[]): void {
  for (let last = items.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [items[last], items[other]] = [items[other], items[last]];
  }
}

function report(mutation: Mutation, seconds: number, problem: string | undefined): Outcome {
  console.log(
    `${problem ? "FAILED" : "killed"} ${seconds.toFixed(1)} s  ${mutation.name}${problem ? `: ${problem}` : ""}`,
  );
  return { mutation, problem, seconds };
}

async function writeReport(file: string, outcomes: Outcome[]): Promise<void> {
  const assertionResults = outcomes.map(({ mutation: { name }, problem, seconds }) => ({
    fullName: `mutation: ${name}`,
    status: problem === undefined ? "passed" : "failed",
    duration: seconds * 1000,
    failureMessages: problem === undefined ? [] : [problem],
  }));
  const numFailedTests = outcomes.filter(({ problem }) => problem !== undefined).length;
  const status = numFailedTests > 0 ? "failed" : "passed";
  const testResults = [{ name: "test/mutations", status, message: "", assertionResults }];
  const report = { numPassedTests: outcomes.length - numFailedTests, numFailedTests, testResults };
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(report));
}
