/** Sends requests exactly as an attacker writes them: no normalized path, no redirect followed, and no more than a limit. */
import { createHash } from "node:crypto";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { StartError } from "../../errors.ts";

export type Outgoing = {
  method: string;
  /** The request target as it is sent, such as `/orders/%2e%2e/orders`. */
  target: string;
  headers?: Readonly<Record<string, string>>;
};

export type Answer = {
  /** 0 if there was no response. */
  status: number;
  /** A digest of the beginning of the body, to compare responses. */
  digest: string;
};

export type AnswerWithBody = Answer & {
  /** The beginning of the body. Never printed. */
  body: Buffer;
};

export type Send = (outgoing: Outgoing) => Promise<AnswerWithBody>;

export type Sender = {
  send: Send;
  /** The number of requests so far. */
  requests(): number;
  close(): void;
};

type Limits = {
  maxRequests: number;
  /** For the whole probe. */
  maxSeconds: number;
  /** For one response. */
  timeoutSeconds: number;
};

const maxSockets = 4;
const maxBodyBytes = 5 * 1024 * 1024;
/** The reason does not matter: the service rejected the request by closing the connection, or does not respond. */
const none: AnswerWithBody = { status: 0, digest: "", body: Buffer.alloc(0) };

/** @throws {StartError} at the first request beyond the limits: the probe is not complete */
export function createSender(origin: URL, { maxRequests, maxSeconds, timeoutSeconds }: Limits): Sender {
  const isTls = origin.protocol === "https:";
  const agent = isTls
    ? new HttpsAgent({ keepAlive: true, maxSockets })
    : new HttpAgent({ keepAlive: true, maxSockets });
  const request = isTls ? httpsRequest : httpRequest;
  const endMs = performance.now() + maxSeconds * 1000;
  let requests = 0;

  return {
    requests: () => requests,
    close: () => agent.destroy(),
    async send({ method, target, headers = {} }) {
      if (requests >= maxRequests)
        throw new StartError(`The limit of ${maxRequests} requests ended the probe. Use --max-requests.`);
      if (performance.now() > endMs)
        throw new StartError(`The limit of ${maxSeconds} seconds ended the probe. Use --time-limit.`);
      requests += 1;
      const signal = AbortSignal.timeout(timeoutSeconds * 1000);
      return new Promise((resolve) => {
        const options = { agent, host: hostOf(origin), port: origin.port, method, path: target, headers, signal };
        const sent = request(options, (response) => resolve(read(response)));
        // Node.js would wait for the body of a POST.
        sent.on("error", () => resolve(none)).end();
      });
    },
  };
}

const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, "$1");

/** Reads a body to its end, to its limit, or as far as it comes in time. */
function read(response: IncomingMessage): Promise<AnswerWithBody> {
  const parts: Buffer[] = [];
  let length = 0;
  return new Promise((resolve) => {
    const finish = () => {
      const body = Buffer.concat(parts);
      resolve({ status: response.statusCode ?? 0, digest: createHash("sha256").update(body).digest("hex"), body });
    };
    response.on("data", (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length > maxBodyBytes) response.destroy();
    });
    response.on("error", () => {}).once("close", finish);
  });
}
