/** Content negotiation: the media type and the content coding of a response (RFC 9110, section 12). */
import type { Request, Response } from "express";
import { Problem } from "../problems/problems.ts";
import { type DeclaredResponse, inUtf8, isJsonType, type Operation } from "./contract.ts";
import { type EncodedBody, matchesEtag, preferredCoding } from "./encodedBody.ts";
import type { HandlerReply } from "./response.ts";

/**
 * Rejects a request before it is processed, if its client could not read the response (section 12.5.1).
 * @throws {Problem} `not-acceptable`
 */
export function requireAcceptable(operation: Operation, request: Request): void {
  const { accept = "*/*" } = request.headers;
  if (accept === "*/*") return;
  for (const [status, { contentTypes }] of operation.responses) {
    if (status < 300 && contentTypes.length > 0 && preferredType(request, contentTypes) === undefined) {
      throw new Problem("not-acceptable", { detail: `This operation responds with ${contentTypes.join(" or ")}.` });
    }
  }
}

/**
 * Whether a response has several representations, from which `negotiate` selects one.
 * @returns `false` if the reply can be sent as it is
 */
export const needsNegotiation = (operation: Operation, { contentTypes }: DeclaredResponse): boolean =>
  contentTypes.length > 1 || operation.responses.has(304);

/** Selects the representation that the client prefers. */
export async function negotiate(
  operation: Operation,
  reply: HandlerReply,
  { request, response }: { request: Request; response: Response },
): Promise<HandlerReply> {
  if (operation.responses.has(304)) return selectCoding(reply as EncodedReply, request, response);
  const { contentTypes } = operation.responses.get(reply.status) as DeclaredResponse;
  const type = preferredType(request, contentTypes) as string; // requireAcceptable has checked that there is one
  const selected = (reply.body as Record<string, unknown>)[type];
  return {
    status: reply.status,
    headers: { ...reply.headers, "Content-Type": inUtf8(type), Vary: varyBy("Accept", response) },
    body: isJsonType(type) ? JSON.stringify(selected) : selected,
  };
}

type EncodedReply = HandlerReply & { body: EncodedBody };

/**
 * Selects the content coding, or a 304 if the client has that representation. A 304 has the headers of the 200, because
 * a cache replaces its stored headers with them (section 15.4.5).
 * @throws {Problem} `not-acceptable`
 */
async function selectCoding(
  { headers, body }: EncodedReply,
  request: Request,
  response: Response,
): Promise<HandlerReply> {
  const coding = preferredCoding(request);
  if (!coding) throw new Problem("not-acceptable", { detail: "The content codings are br, gzip and identity." });
  const { etag, read } = body[coding];
  const common = { ...headers, ETag: etag, Vary: varyBy("Accept-Encoding", response) };
  if (matchesEtag(etag, request.headers["if-none-match"])) return { status: 304, headers: common };
  const encoded = coding === "identity" ? common : { ...common, "Content-Encoding": coding };
  return { status: 200, headers: encoded, body: await read() };
}

/** @returns the accepted media type that `Accept` prefers; the first one of equals */
function preferredType(request: Request, contentTypes: readonly string[]): string | undefined {
  const accepted = request.accepts([...contentTypes, ...contentTypes.map((type) => `${type}; charset=utf-8`)]);
  return accepted === false ? undefined : accepted.replace(/; charset=utf-8$/, "");
}

/** With CORS, the response depends on the origin as well. */
const varyBy = (header: string, response: Response): string =>
  [response.getHeader("Vary") ?? [], header].flat().join(", ");
