/** Responses of operations: from what a handler returned to the bytes on the connection. */
import { Readable } from "node:stream";
import type { Response } from "express";
import type { DeclaredResponse } from "./contract.ts";

/** A response that is ready to be sent. */
export type OutgoingResponse = {
  status: number;
  /** Alternating names and values. A header that is sent more than once has an array of values. */
  headers: readonly (string | string[])[];
  /** `undefined` for an empty body. */
  body: string | Buffer | undefined;
};

/** What a handler returned, for any operation. */
export type HandlerReply = { status: number; headers?: Record<string, string>; body?: unknown };

/** @param common alternating names and values: the headers of every response to this request */
export function createResponse(
  { fixedHeaders, isJson }: DeclaredResponse,
  { status, headers, body }: HandlerReply,
  common: readonly string[],
): OutgoingResponse {
  return {
    status,
    headers: joinHeaders(fixedHeaders, common, headers),
    body: isJson && !Buffer.isBuffer(body) ? JSON.stringify(body) : (body as string | Buffer | undefined),
  };
}

/** @returns alternating names and values */
export function joinHeaders(
  fixed: readonly string[],
  common: readonly string[],
  own: Record<string, string | string[]> | undefined,
): (string | string[])[] {
  const joined: (string | string[])[] = [...fixed, ...common];
  for (const name in own) joined.push(name, own[name] ?? "");
  return joined;
}

/** Writes all headers at once, because `setHeader` for each costs Node as much as the rest of a response. */
export function send(response: Response, { status, headers, body }: OutgoingResponse): void {
  if (body === undefined) {
    // A 204 and a 304 have no length (RFC 9110, section 8.6).
    const length = status === 204 || status === 304 ? [] : ["Content-Length", "0"];
    response.writeHead(status, [...headers, ...length]).end();
    return;
  }
  const length = Buffer.byteLength(body);
  response.writeHead(status, [...headers, "Content-Length", String(length)]);
  if (Buffer.isBuffer(body)) Readable.from(chunksOf(body)).pipe(response);
  // ASCII, which Node copies instead of encoding it.
  else response.end(body, length === body.length ? "latin1" : "utf8");
}

const chunkBytes = 65_536;

/** Views of a body, so that the server notices a client that does not read. */
function* chunksOf(body: Buffer): Generator<Buffer> {
  for (let start = 0; start < body.length; start += chunkBytes) yield body.subarray(start, start + chunkBytes);
}
