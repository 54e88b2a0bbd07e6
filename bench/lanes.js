/**
 * Requests one after the other on each of some connections, where each is made of the answer before it, or is made to be
 * new. The plan is the first argument, as JSON; what was measured is printed.
 */
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";

const { url, chain, path, body, authorization, headers, connections, seconds } = JSON.parse(process.argv[2]);
const agent = new Agent({ keepAlive: true, maxSockets: connections });

/** @returns the answer as JSON */
async function post(target, payload, credentials = {}) {
  const bytes = Buffer.from(payload);
  const answer = await new Promise((resolve, reject) => {
    request(
      url + target,
      {
        method: "POST",
        agent,
        timeout: 10_000,
        headers: { "Content-Type": "application/json", "Content-Length": bytes.length, ...headers, ...credentials },
      },
      resolve,
    )
      .once("error", reject)
      .once("timeout", () => reject(new Error("no answer in 10 s")))
      .end(bytes);
  });
  const said = await text(answer);
  if (answer.statusCode >= 300) throw new Error(`${target}: ${answer.statusCode} ${said}`);
  return JSON.parse(said);
}

const chains = {
  /** Each lane has a session, and uses the newest refresh token of it. */
  async refresh() {
    let { refresh_token } = await post("/api/sessions", "", { Authorization: authorization });
    return async () => {
      ({ refresh_token } = await post(path, JSON.stringify({ refresh_token })));
    };
  },
  /** Each user is a new one: `NEW` in the body is replaced. */
  async register() {
    return async () => {
      registered += 1;
      await post(path, body.replaceAll("NEW", `u${process.pid}x${Date.now().toString(36)}x${registered}`));
    };
  },
};
let registered = 0;

const steps = await Promise.all(Array.from({ length: connections }, () => chains[chain]()));
const began = performance.now();
const until = began + seconds * 1000;
const latencies = [];
await Promise.all(
  steps.map(async (step) => {
    while (performance.now() < until) {
      const sent = performance.now();
      await step();
      latencies.push(performance.now() - sent);
    }
  }),
);
const perSecond = (latencies.length * 1000) / (performance.now() - began);
latencies.sort((a, b) => a - b);
const quantile = (part) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))];
agent.destroy();
console.log(JSON.stringify({ perSecond, requests: latencies.length, p50: quantile(0.5), p99: quantile(0.99) }));
