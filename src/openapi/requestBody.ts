/** What all request bodies have in common: a declared media type, UTF-8 and a limit. */
import { parse as parseContentType } from "content-type";
import type { Request } from "express";
import { hasBody } from "../http/framing.ts";
import { invalidRequest, Problem } from "../problems/problems.ts";

export const formType = "application/x-www-form-urlencoded";

/** Of operations without a limit of their own. Far above most declared bodies. */
export const bodyLimitBytes = 16_384;

/**
 * A body of 16 KiB usually arrives in a dozen chunks, and a larger one in packets of about 1,400 bytes. Each chunk costs at least 100
 * bytes, so many tiny ones fill memory.
 */
export const maxChunksOf = (limitBytes: number): number => Math.max(1_024, limitBytes / 256);

/**
 * Requires a body of a media type, in UTF-8 and within the limit, before it is read.
 * @throws {Problem} a 400, 413 or 415
 */
export function requireBody(request: Request, type: string, limitBytes = bodyLimitBytes): void {
  const { headers } = request;
  if (!hasBody(request)) throw invalidRequest({ pointer: "#", detail: "a body is required" });
  if (!isDeclaredType(headers["content-type"], type)) throw unsupported(type);
  if (Number(headers["content-length"] ?? 0) > limitBytes) throw tooLarge(limitBytes);
}

/** Whether a Content-Type is the declared one, in UTF-8. */
function isDeclaredType(header: string | undefined, type: string): boolean {
  if (header === type) return true;
  try {
    const given = parseContentType(header ?? "");
    return given.type === type && (given.parameters["charset"] ?? "utf-8").toLowerCase() === "utf-8";
  } catch {
    return false;
  }
}

export const tooLarge = (limitBytes = bodyLimitBytes) =>
  new Problem("payload-too-large", { detail: `The body exceeds ${limitBytes} bytes.` });

export const unsupported = (type: string) =>
  new Problem("unsupported-media-type", { detail: `Send ${type} in UTF-8, not compressed.` });
