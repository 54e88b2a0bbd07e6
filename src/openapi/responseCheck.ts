/** A last look at answers before they leave: what the tests do with all of them, in production. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { Response } from "express";
import { currentRequest } from "../requestContext.ts";
import type { OpenApiDocument } from "./contract.ts";
import { type Answer, createResponseValidator } from "./responseValidator.ts";

/** An answer that is about to be written. */
export type Outgoing = {
  status: number;
  /** Names and values in turn. A header that is there more than once has all its values. */
  headers: readonly (string | string[])[];
  /** `undefined` where there is none. */
  body: string | Buffer | undefined;
};

/** @returns whether the answer may leave. */
export type ResponseCheck = (response: Response, answer: Outgoing) => boolean;

/**
 * - `report` looks at some of the answers, and changes none;
 * - `enforce` looks at each, and lets none go that breaks the contract;
 * - `off` looks at none.
 */
export type ResponseCheckMode = "report" | "enforce" | "off";

/**
 * @param percent how many answers of a hundred `report` looks at
 * @param tell is told what is wrong with an answer, in words without any value that is in it
 */
export function createResponseCheck(
  document: OpenApiDocument,
  mode: ResponseCheckMode,
  percent: number,
  tell: (fault: { operation: string; status: number; fault: string }) => void,
): ResponseCheck {
  if (mode === "off") return () => true;
  const conformance = createResponseValidator(document);
  // They are the same each time, and may be long and compressed: one look is enough.
  const checkedBodies = new WeakSet<Buffer>();
  return (response, outgoing) => {
    if (mode === "report" && Math.random() * 100 >= percent) return true;
    const operation = currentRequest()?.operation?.id;
    const prepared = Buffer.isBuffer(outgoing.body) ? outgoing.body : undefined;
    const isChecked = prepared !== undefined && checkedBodies.has(prepared);
    // What would answer a GET: it is Node that leaves the body out of the answer to a HEAD.
    const method = isChecked ? "HEAD" : "GET";
    const fault = conformance(operation, method, complete(response, outgoing, isChecked));
    if (fault === undefined) {
      if (prepared) checkedBodies.add(prepared);
      return true;
    }
    tell({ operation: operation ?? "none", status: outgoing.status, fault });
    return mode === "report";
  };
}

/** With the headers that were set on the way, which its own replace. */
function complete(response: Response, { status, headers, body }: Outgoing, withoutBody: boolean): Answer {
  const own: Record<string, string[]> = {};
  for (let index = 0; index < headers.length; index += 2) {
    const name = String(headers[index]).toLowerCase();
    own[name] = [...(own[name] ?? []), ...[headers[index + 1] ?? []].flat()];
  }
  const before = Object.entries(response.getHeaders()).map(([name, value]) => [name, [value].flat().map(String)]);
  return { status, headers: { ...Object.fromEntries(before), ...own }, text: withoutBody ? "" : textOf(body, own) };
}

function textOf(body: Outgoing["body"], headers: Record<string, string[]>): string {
  if (!Buffer.isBuffer(body)) return body ?? "";
  const [coding] = headers["content-encoding"] ?? [];
  const bytes = coding === "br" ? brotliDecompressSync(body) : coding === "gzip" ? gunzipSync(body) : body;
  return bytes.toString();
}
