/** Measures the verifier package: in a process of its own, and beside Latchkey, from a revocation to the refusal. */
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import pg from "pg";
import { type Bench, compiled, type NodeVersion } from "./context.ts";
import { password } from "./database.ts";
import { basic } from "./oauth.ts";
import { startServer, track } from "./processes.ts";
import { latchkey } from "./programs.ts";

/** Of each round. */
export type VerifierRates = {
  /** Verifications of remembered tokens per second. */
  remembered: number[];
  /** First verifications per second, divided by signatures per second that node:crypto verifies. */
  first: Record<"EdDSA" | "ES256" | "RS256", number[]>;
  heldRevocations: number;
};

export type VerifierFigures = VerifierRates & {
  node: string;
  /** From the response to a revocation to the refusal in another process. */
  promptnessMs: number[];
};

const audience = "https://orders.example/v1";

export async function measureVerifier(bench: Bench, node: NodeVersion): Promise<VerifierFigures> {
  const { plan, progress } = bench;
  progress.step(`verifier, Node ${node.major}`);
  const args = [compiled("programs/verifier"), String(plan.rounds), String(plan.secondsEach)];
  const { stdout } = await promisify(execFile)(node.binary, args);
  progress.detail("from a revocation to the refusal");
  return {
    node: node.major,
    ...(JSON.parse(stdout) as VerifierRates),
    promptnessMs: await measurePromptness(bench, node),
  };
}

async function measurePromptness({ postgres, plan }: Bench, node: NodeVersion): Promise<number[]> {
  const databaseUrl = await postgres.createFilled(`verifier_${node.major}`, { users: 10, revocations: 1 });
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query("INSERT INTO user_roles (user_id, role) SELECT id, 'administrator' FROM users");
  await client.end();
  const server = await startServer(node.binary, latchkey.script, { ...latchkey.settings, DATABASE_URL: databaseUrl });
  const send = async (method: string, path: string, json?: object): Promise<Record<string, string>> => {
    const headers = { authorization: basic("filled0", password), "content-type": "application/json" };
    const response = await fetch(server.url + path, { method, headers, ...(json && { body: JSON.stringify(json) }) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? {} : JSON.parse(text);
  };
  await send("POST", "/api/apis", { audience, name: "Orders", scopes: [{ name: "orders:read", description: "" }] });
  const scopes = ["revocations:read", "tokens:introspect"];
  const { key = "" } = await send("POST", "/api/api-keys", { name: "verifier", scopes });
  const child = track(
    fork(compiled("programs/verifierPromptness"), [server.url, audience, key], { execPath: node.binary }),
  );
  try {
    await once(child, "message");
    const samples: number[] = [];
    for (let n = 0; n < 20 * plan.rounds; n += 1) {
      const { access_token = "", id = "" } = await send("POST", "/api/sessions", { audience });
      const accepted = once(child, "message");
      child.send(access_token);
      await accepted;
      const refused = once(child, "message");
      await send("DELETE", `/api/sessions/${id}`);
      const endedMs = performance.timeOrigin + performance.now();
      const [refusedMs] = await refused;
      samples.push(Math.max(0, Number(refusedMs) - endedMs));
    }
    return samples;
  } finally {
    child.kill("SIGINT");
    await server.stop();
  }
}
