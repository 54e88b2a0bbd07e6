/** Validates responses against the contract before they are sent, as `CONTRACT_CHECK` says. The tests validate all of them. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { Response } from "express";
import { currentRequest } from "../requestContext.ts";
import type { OpenApiDocument } from "./document.ts";
import type { OutgoingResponse } from "./response.ts";
import { createResponseValidator, type ReceivedResponse } from "./responseValidator.ts";

/** @returns whether the response may be sent */
export type ResponseCheck = (response: Response, outgoing: OutgoingResponse) => boolean;

/**
 * - `report` validates a share of the responses, and sends each;
 * - `enforce` validates every response, and sends none that violates the contract;
 * - `off` validates none.
 */
export type ResponseCheckMode = "report" | "enforce" | "off";

/**
 * @param percent share of the responses that `report` validates
 * @param reportViolation is called with a description that contains no value of the response
 */
export function createResponseCheck(
  document: OpenApiDocument,
  mode: ResponseCheckMode,
  percent: number,
  reportViolation: (fault: { operation: string; status: number; fault: string }) => void,
): ResponseCheck {
  if (mode === "off") return () => true;
  const validate = createResponseValidator(document);
  // Encoded bodies never change, and may be long and compressed: each is validated once.
  const checkedBodies = new WeakSet<Buffer>();
  return (response, outgoing) => {
    if (mode === "report" && Math.random() * 100 >= percent) return true;
    const operation = currentRequest()?.operation?.id;
    const encoded = Buffer.isBuffer(outgoing.body) ? outgoing.body : undefined;
    const isChecked = encoded !== undefined && checkedBodies.has(encoded);
    // The response to a HEAD still has the body of a GET here. Node omits it later.
    const method = isChecked ? "HEAD" : "GET";
    const fault = validate(operation, method, complete(response, outgoing, isChecked));
    if (fault === undefined) {
      if (encoded) checkedBodies.add(encoded);
      return true;
    }
    reportViolation({ operation: operation ?? "none", status: outgoing.status, fault });
    return mode === "report";
  };
}

/** Adds the headers that middleware has set. Those of the response replace them. */
function complete(
  response: Response,
  { status, headers, body }: OutgoingResponse,
  withoutBody: boolean,
): ReceivedResponse {
  const own: Record<string, string[]> = {};
  for (let index = 0; index < headers.length; index += 2) {
    const name = String(headers[index]).toLowerCase();
    own[name] = [...(own[name] ?? []), ...[headers[index + 1] ?? []].flat()];
  }
  const earlier = Object.entries(response.getHeaders()).map(([name, value]) => [name, [value].flat().map(String)]);
  return { status, headers: { ...Object.fromEntries(earlier), ...own }, text: withoutBody ? "" : textOf(body, own) };
}

function textOf(body: OutgoingResponse["body"], headers: Record<string, string[]>): string {
  if (!Buffer.isBuffer(body)) return body ?? "";
  const [coding] = headers["content-encoding"] ?? [];
  const bytes = coding === "br" ? brotliDecompressSync(body) : coding === "gzip" ? gunzipSync(body) : body;
  return bytes.toString();
}
