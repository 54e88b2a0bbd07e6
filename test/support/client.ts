/** Sends requests exactly as written, unlike fetch, and validates every response against the contract. */
import { readFileSync } from "node:fs";
import { type OutgoingHttpHeaders, request } from "node:http";
import { request as requestTls } from "node:https";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { ReceivedResponse } from "../../src/openapi/responseValidator.ts";
import { checkAnswer } from "./answers.ts";

export type Sent = {
  /** Username and password for Basic. */
  basic?: [string, string];
  bearer?: string;
  json?: unknown;
  /** The parameters of a form. */
  form?: Record<string, string>;
  body?: string | Buffer;
  headers?: OutgoingHttpHeaders;
};

export type Received = ReceivedResponse & {
  /** The parsed body, if it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: its schema has been checked against the contract
  json: any;
  /** The slug of a problem, of the page of an OAuth error, or of an error page. */
  problem: string | undefined;
  header(name: string): string | undefined;
};

export type Client = (method: string, target: string, sent?: Sent) => Promise<Received>;

/** The certificates that tests trust. */
export const ca = ["one", "other"].map((name) => readFileSync(`test/support/certificates/${name}.cert.pem`));

export const basicAuthorization = ([username, password]: [string, string]) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

/**
 * @param url the origin of the service
 * @param base the path of its `PUBLIC_URL`, with which the types of its problems begin; those of openapi.yaml do not
 */
export function createClient(url: string, base = ""): Client {
  const withoutBase = (text: string) =>
    ["type", "error_uri"].reduce(
      (all, name) => all.replace(`"${name}":"${base}/problems/`, `"${name}":"/problems/`),
      text,
    );
  return async (method, target, { basic, bearer, json, form, body, headers } = {}) => {
    const payload = json === undefined ? (form ? new URLSearchParams(form).toString() : body) : JSON.stringify(json);
    const { protocol, hostname, port } = new URL(url);
    const answer = await new Promise<ReceivedResponse>((resolve, reject) => {
      const outgoing = (protocol === "https:" ? requestTls : request)(
        {
          ca,
          hostname,
          port,
          method,
          path: target,
          agent: false,
          timeout: 15_000,
          headers: {
            ...(basic && { authorization: basicAuthorization(basic) }),
            ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
            ...(json !== undefined && { "content-type": "application/json" }),
            ...(form && { "content-type": "application/x-www-form-urlencoded" }),
            ...(payload !== undefined && { "content-length": Buffer.byteLength(payload) }),
            ...headers,
          },
        },
        (incoming) => {
          buffer(incoming)
            .then((body) => {
              const { statusCode: status = 0, headersDistinct, headers } = incoming;
              const text = decoded(body, headers["content-encoding"]).toString();
              const asInFile = base === "" ? text : withoutBase(text);
              resolve({ status, headers: headersDistinct as Record<string, string[]>, text: asInFile });
            })
            .catch(reject);
        },
      );
      outgoing.once("timeout", () => outgoing.destroy(new Error(`${method} ${target}: no answer in 15 s`)));
      outgoing.once("error", reject).end(payload);
    });
    return received(method, target, answer);
  };
}

const maxTries = 20;

/**
 * Repeats a request while it is rejected as `overloaded`: nothing was checked or changed. Soon after its start, a service may wait
 * for the dictionaries of passwords; and on a slow machine, a hash may have to wait too long.
 */
export async function untilNotOverloaded(send: () => Promise<Received>): Promise<Received> {
  for (let tries = 1; ; tries += 1) {
    const answer = await send();
    if (answer.problem !== "overloaded" || tries === maxTries) return answer;
    await sleep(250);
  }
}

/** Registers a user at a service that may have just started. */
export async function registerUser(
  send: Client,
  user: { username: string; password: string },
): Promise<{ id: string }> {
  const { status, text, json } = await untilNotOverloaded(() => send("POST", "/api/users", { json: user }));
  if (status !== 201) throw new Error(`${user.username} is not registered: ${status} ${text}`);
  return json;
}

/** Every instance rejects what was revoked within this time. */
const rejectedWithinMs = 1_000;

/**
 * Repeats a request until it is a 401. Each that is sent a second or more after `sinceMs` must be one, however long the response
 * takes.
 */
export async function untilRejected<Answer extends { status: number }>(
  send: () => Promise<Answer>,
  sinceMs = performance.now(),
): Promise<Answer> {
  for (;;) {
    const sentAfterMs = performance.now() - sinceMs;
    const answer = await send();
    if (answer.status === 401) return answer;
    if (sentAfterMs >= rejectedWithinMs) throw new Error(`a ${answer.status}, after ${sentAfterMs.toFixed()} ms`);
    await sleep(5);
  }
}

/** Decodes a body. A response to HEAD has none. */
export function decoded(body: Buffer, coding: string | undefined): Buffer {
  if (coding === undefined || body.length === 0) return body;
  if (coding === "br") return brotliDecompressSync(body);
  if (coding === "gzip") return gunzipSync(body);
  throw new Error(`There is no content coding ${coding}.`);
}

/**
 * Sends bytes and reads one response, to its `Content-Length` or the end of the connection.
 * @param target the target by which the response is validated. Default: of no operation
 */
export function sendRaw(url: string, bytes: string, method = "GET", target = "/nowhere"): Promise<Received> {
  const { protocol, hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const write = () => void socket.write(bytes, "latin1");
    const place = { port: Number(port), host: hostname };
    const socket = protocol === "https:" ? connectTls({ ...place, ca }, write) : connect(place, write);
    let read = "";
    socket.setTimeout(15_000, () => socket.destroy(new Error("no answer in 15 s")));
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      read += chunk;
      const [head = "", body = ""] = read.split("\r\n\r\n", 2);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
      if (Buffer.byteLength(body) >= length) socket.end();
    });
    socket.once("error", reject);
    socket.once("close", () => {
      const [head = "", body = ""] = read.split("\r\n\r\n", 2);
      const [statusLine = "", ...lines] = head.split("\r\n");
      const headers: Record<string, string[]> = {};
      for (const line of lines) {
        const [, name = "", value = ""] = /^([^:]+): *(.*)$/.exec(line) ?? [];
        headers[name.toLowerCase()] = [...(headers[name.toLowerCase()] ?? []), value];
      }
      try {
        resolve(received(method, target, { status: Number(statusLine.split(" ")[1]), headers, text: body }));
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}

function received(method: string, target: string, answer: ReceivedResponse): Received {
  checkAnswer(method, target, answer);
  const type = answer.headers["content-type"]?.[0] ?? "";
  const json = /json/.test(type) && answer.text !== "" ? JSON.parse(answer.text) : undefined;
  const page = type.startsWith("text/html")
    ? /<meta name="problem" content="([^"]+)">/.exec(answer.text)?.[1]
    : type.startsWith("application/problem+json")
      ? json?.type
      : json?.error_uri;
  return {
    ...answer,
    json,
    problem: page?.replace("/problems/", ""),
    header: (name) => answer.headers[name.toLowerCase()]?.join(", "),
  };
}
