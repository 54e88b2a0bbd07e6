/** `latchkey probe`: asks a protected service as an attacker would. */
import { setTimeout as delay } from "node:timers/promises";
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { InputError } from "../errors.ts";
import { type Define, wrongUsage } from "./arguments.ts";
import { examples } from "./help.ts";
import { optionTexts, parseLimit, parseSeconds } from "./options.ts";
import { counted, printMessage } from "./output.ts";
import { type Credentials, openCredentials, readKeys } from "./probe/credentials.ts";
import { findContract } from "./probe/findContract.ts";
import { forgedTokens } from "./probe/forgedTokens.ts";
import { type Report, runProbe } from "./probe/run.ts";
import { createSender } from "./probe/send.ts";
import { isSafe } from "./probe/targets.ts";
import { readSecrets, requirePasswordSource } from "./prompt.ts";
import { printRows } from "./results.ts";

/** The exit status if something was not refused. */
const foundSomething = 1;

const timeoutSeconds = 5;

const columns = ["outcome", "status", "operation", "check", "request"] as const;

export const defineProbe: Define = (probe, execute) => {
  probe
    .argument("<url>", "where the service listens, such as https://orders.example.com", parseUrl)
    .option("--contract <file>", "its OpenAPI document; by default, /openapi.yaml or /openapi.json of the service")
    .option("--issuer <url>", "the Latchkey that issues its tokens", parseUrl)
    .option("--audience <audience>", "the audience of the service; by default, Latchkey itself")
    .option("--username <name>", "a user of that Latchkey, for tokens that must be rejected")
    .option("--password-stdin", optionTexts.passwordStdin)
    .option("--credential-stdin", "read a token or an API key that the service accepts from standard input")
    .option("--other-audience <audience>", "another registered API, for a token that must be rejected")
    .option("--wait <seconds>", "how long to wait at most for a token to expire", parseSeconds, 60)
    .option("--unsafe-methods", "send POST, PUT, PATCH and DELETE too; what gets through changes data")
    .option("--max-requests <number>", "maximum number of requests", parseLimit, 10_000)
    .option("--time-limit <seconds>", "maximum duration, to which that of --wait is added", parseSeconds, 600)
    .option("--json", optionTexts.json)
    .addHelpText(
      "after",
      examples(
        "probe http://127.0.0.1:3000 --contract openapi.yaml",
        "probe https://orders.example.com --issuer https://auth.example.com --audience orders --username probe",
      ),
    )
    .action(async (url, options) => {
      if (options.passwordStdin && options.username === undefined)
        throw wrongUsage("probe", "Whose password? Use --username.");
      if (options.username !== undefined && options.issuer === undefined)
        throw wrongUsage("probe", "Where does the user sign in? Use --issuer.");
      if (options.username !== undefined && options.credentialStdin)
        throw wrongUsage("probe", "Use either --username or --credential-stdin.");
      if (options.username !== undefined) requirePasswordSource("probe", options.passwordStdin);
      await execute(async () => {
        const [password] = options.username === undefined ? [] : await readSecrets(["Password: "]);
        const [credential] = options.credentialStdin ? await readSecrets(["Credential: "]) : [];
        const { report, requests } = await probeService(url, { ...options, password, credential });
        await print(report, options.json);
        printMessage(
          `${counted(requests, "request")} to ${counted(report.operations, "operation")}: ${summary(report)}.`,
        );
        if (report.findings.length > 0) process.exitCode = foundSomething;
      });
    });
};

type Options = {
  contract?: string | undefined;
  issuer?: URL | undefined;
  audience?: string | undefined;
  username?: string | undefined;
  password?: string | undefined;
  credential?: string | undefined;
  otherAudience?: string | undefined;
  wait: number;
  unsafeMethods?: boolean | undefined;
  maxRequests: number;
  timeLimit: number;
};

/** @param sleep replaces waiting in tests */
export async function probeService(
  url: URL,
  options: Options,
  sleep: (seconds: number) => Promise<void> = (seconds) => delay(seconds * 1000),
): Promise<{ report: Report; requests: number }> {
  const { issuer, audience, username, password, credential, otherAudience, unsafeMethods = false } = options;
  const limits = { maxRequests: options.maxRequests, maxSeconds: options.timeLimit + options.wait, timeoutSeconds };
  const sender = createSender(url, limits);
  let credentials: Credentials | undefined;
  try {
    const { send } = sender;
    const basePath = url.pathname.replace(/\/+$/, "");
    const targets = await findContract({ file: options.contract, origin: url.origin, basePath, send });
    const { contract, guarded } = targets;
    if (!guarded.some(({ method }) => unsafeMethods || isSafe(method)))
      throw new InputError("The contract has no protected operation with a safe method. See --unsafe-methods.");
    const account =
      issuer && username !== undefined && password !== undefined
        ? { issuer: issuer.href, username, password, audience, otherAudience }
        : undefined;
    credentials = account && (await openCredentials(account, contract));
    const valid = credentials?.session.token ?? credential;
    const issuerName = (issuer ?? url).href.replace(/\/$/, "");
    const keys = issuer ? await readKeys(issuer.href) : [];
    const forged = forgedTokens({
      issuer: issuerName,
      audience: audience ?? issuerName,
      scopes: contract.scopes,
      keys,
      real: valid,
    });
    const report = await runProbe({
      send,
      targets,
      forged,
      credentials,
      valid,
      allowsUnsafeMethods: unsafeMethods,
      waitSeconds: options.wait,
      sleep,
    });
    if (keys.length === 0) report.skipped.push({ check: "public-key-as-secret", reason: "It needs --issuer." });
    return { report, requests: sender.requests() };
  } finally {
    sender.close();
    // If the probe ended early, its session would remain.
    await credentials?.session.revoke().catch(() => {});
  }
}

async function print({ findings, skipped, incomplete }: Report, json: true | undefined): Promise<void> {
  await printRows([findings], { columns, json, none: "Nothing got through." });
  for (const { check, reason } of skipped) printMessage(`Skipped ${check}: ${reason}`);
  if (incomplete !== undefined) printMessage(incomplete);
}

function summary({ findings }: Report): string {
  const accepted = findings.filter(({ outcome }) => outcome === "accepted").length;
  return findings.length === 0 ? "nothing got through" : `${accepted} accepted, ${findings.length - accepted} unclear`;
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url &&
    ["http:", "https:"].includes(url.protocol) &&
    `${url.username}${url.password}${url.search}${url.hash}` === "";
  if (!isPlain) throw new InvalidArgumentError("It must be a URL such as https://orders.example.com.");
  return url;
}
