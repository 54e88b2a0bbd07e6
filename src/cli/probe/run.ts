/** Asks a protected service as an attacker would, operation by operation, and collects what it does not refuse. */
import { randomUUID } from "node:crypto";
import pLimit from "p-limit";
import { StartError } from "../../errors.ts";
import { checkCredentials } from "./credentialChecks.ts";
import type { Credentials } from "./credentials.ts";
import type { Forged } from "./forgedTokens.ts";
import { createJudge, type Finding, isRefused } from "./judge.ts";
import { bearer, createRequestChecks } from "./requestChecks.ts";
import type { Answer, Send } from "./send.ts";
import { isSafe, type Target, type Targets } from "./targets.ts";

export type Report = {
  /** The number of operations that were asked. */
  operations: number;
  findings: Finding[];
  /** The checks that were not made, and why. */
  skipped: { check: string; reason: string }[];
  /** Why the probe ended early. */
  incomplete: string | undefined;
};

type Parts = {
  send: Send;
  targets: Targets;
  forged: readonly Forged[];
  /** Credentials from Latchkey, if the probe may sign in there. */
  credentials: Credentials | undefined;
  /** A token or an API key that the service accepts, if one is known. */
  valid: string | undefined;
  allowsUnsafeMethods: boolean;
  waitSeconds: number;
  sleep(seconds: number): Promise<void>;
};

const concurrency = 4;
const maxOpenTargets = 20;

/** @throws {StartError} if the service does not seem to be that of the contract, or a limit is reached before anything was found */
export async function runProbe(parts: Parts): Promise<Report> {
  const { send, targets, forged, credentials, valid, allowsUnsafeMethods, waitSeconds, sleep } = parts;
  const { contract, guarded, open } = targets;
  const limit = pLimit(concurrency);
  const each = <Item>(items: readonly Item[], step: (item: Item) => Promise<unknown>) =>
    Promise.all(items.map((item) => limit(() => step(item))));
  const probed = guarded.filter(({ method }) => allowsUnsafeMethods || isSafe(method));
  const openPath = open.find(({ method }) => method === "GET")?.path ?? "/";
  const skipped = new Map<string, string>();
  const controls = new Map<Target, Answer>();
  const harmless = new Set<string>();
  const judge = createJudge({ send, controls, harmless });
  const order = probed.map(({ name }) => name);
  const report = (incomplete?: string): Report => ({
    operations: probed.length,
    findings: judge.findings.sort((one, other) => order.indexOf(one.operation) - order.indexOf(other.operation)),
    skipped: [...skipped].map(([check, reason]) => ({ check, reason })),
    incomplete,
  });

  try {
    const unknown = `/${randomUUID()}`;
    const openTargets = open.filter(({ method }) => method === "GET").slice(0, maxOpenTargets);
    const harmlessPaths = [unknown, `${unknown}/`, `${unknown}.json`, "/", ...openTargets.map(pathAndQuery)];
    await each(harmlessPaths, async (target) => harmless.add((await send({ method: "GET", target })).digest));
    // A valid token is never sent with a method that may change something.
    if (valid !== undefined)
      await each(
        probed.filter(({ method }) => isSafe(method)),
        async (target) => {
          const { method } = target;
          const { status, digest } = await send({ method, target: pathAndQuery(target), headers: bearer(valid) });
          controls.set(target, { status, digest });
        },
      );

    const refusing: Target[] = [];
    const statuses = new Set<number>();
    await each(probed, async (target) => {
      const answer = await judge.mustRefuse(target, "no-credential");
      statuses.add(answer.status);
      if (isRefused(answer)) refusing.push(target);
    });
    if ([...statuses].every((status) => status === 0 || status === 404)) {
      judge.findings.length = 0;
      throw new StartError("The service has none of these operations. Check the URL and the contract.");
    }
    // Nothing more is to be learned about an operation that needs no credential.
    const check = createRequestChecks({ judge, send, contract, forged, controls, openPath, allowsUnsafeMethods });
    await each(refusing, check.tokens);
    await each(refusing, check.headers);
    await each(refusing, check.paths);
    await each(firstOfEachPath(refusing), check.methods);
    const skip = (check: string, reason: string) => void skipped.set(check, reason);
    const rest = { credentials, probed, controls, each, skip, waitSeconds, sleep };
    await checkCredentials(refusing, { judge, send, ...rest });
    return report();
  } catch (error) {
    if (error instanceof StartError && judge.findings.length > 0) return report(error.message);
    throw error;
  }
}

const pathAndQuery = ({ path, query }: Target): string => path + query;

function firstOfEachPath(targets: readonly Target[]): Target[] {
  const first = new Map<string, Target>();
  for (const target of targets) if (!first.has(target.path)) first.set(target.path, target);
  return [...first.values()];
}
