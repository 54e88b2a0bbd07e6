/** What is known of a request while it is served: for dispatch, its line in the log, its trace and the metrics. */
import { isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import { isIP } from "node:net";
import type { Request, RequestHandler, Response } from "express";
import type { Client } from "./openapi/binding.ts";
import type { Operation } from "./openapi/contract.ts";
import type { ProblemSlug } from "./problems/problems.ts";

export type Exchange = {
  client: Client;
  /** `undefined` until it is found, and for what is not in the contract. */
  operation?: Operation;
  problem?: ProblemSlug;
  /** Of a problem that is ours. The client is not told. */
  cause?: Error;
  traceId?: string;
  /** Names and values in turn: headers of each answer to a request that came over TLS. */
  transportHeaders?: readonly string[];
};

/** Of a request that has been identified. */
export const exchangeOf = (response: Response) => response.locals as Exchange;

/** Gives each request its id, before anything can be said of it. */
export const identify: RequestHandler = (request, response, next) => {
  const client = { address: addressOf(request), userAgent: userAgentOf(request), requestId: randomUUID() };
  exchangeOf(response).client = client;
  next();
};

/** Where a request comes from: an IP address, or nothing, whatever a proxy forwards. Some write the port behind it. */
function addressOf({ ip = "" }: Request): string | undefined {
  if (isIP(ip)) return ip;
  const [, address = ""] = /^\[(.+)\](?::\d+)?$/.exec(ip) ?? /^([\d.]+):\d+$/.exec(ip) ?? [];
  return isIP(address) ? address : undefined;
}

/** As much of a User-Agent as is kept, in code points. */
const maxUserAgentLength = 256;

/**
 * Node decodes headers as Latin-1. What is UTF-8 is decoded as that; control characters, which a terminal would obey, are left out.
 * @returns at most 256 code points
 */
function userAgentOf({ headers }: Request): string | undefined {
  const text = headers["user-agent"];
  if (text === undefined || /^[ -~]{0,256}$/.test(text)) return text; // nearly always
  const bytes = Buffer.from(text, "latin1");
  const decoded = isUtf8(bytes) ? bytes.toString() : text;
  return [...decoded.replace(/\p{Cc}/gu, "")].slice(0, maxUserAgentLength).join("");
}
