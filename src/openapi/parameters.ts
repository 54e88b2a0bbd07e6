/**
 * Numbers and booleans in requests have one spelling. The validator alone converts parameters by JavaScript's rules, and would
 * accept `0x10`, `1e2` and ` 5`.
 */
import type { Request } from "express";
import { Problem, type RequestError } from "../problems/problems.ts";
import type { Operation, ParameterLocation } from "./contract.ts";
import type { ScalarType } from "./document.ts";

const forms: Record<ScalarType, { pattern: RegExp; detail: string }> = {
  integer: {
    pattern: /^(?:0|-?[1-9][0-9]{0,15})$/,
    detail: "is not an integer in decimal digits, without a plus sign, spaces or leading zeros",
  },
  number: {
    pattern: /^(?:0|-?[1-9][0-9]{0,15}|-?(?:0|[1-9][0-9]{0,15})\.[0-9]{0,19}[1-9])$/,
    detail: "is not a decimal number without an exponent, a plus sign, spaces or redundant zeros",
  },
  boolean: { pattern: /^(?:true|false)$/, detail: "is not true or false" },
};

/** @throws {Problem} `invalid-request` that lists each parameter whose value is not in the canonical form of its type */
export function requireCanonicalScalars({ scalars }: Operation, request: Request): void {
  const wrong = scalars.filter(({ name, location, type, isList }) => {
    const values = valuesOf(request, location, name);
    // Splits lists of every style. The validator rejects a wrong separator.
    return !(isList ? values.flatMap((value) => value.split(/[,| ]/)) : values).every((value) =>
      isCanonical(value, type),
    );
  });
  const [first, ...others] = wrong.map(({ name, location, type }): RequestError => {
    const { detail } = forms[type];
    return location === "header" ? { header: name, detail } : { parameter: name, detail };
  });
  if (first) throw new Problem("invalid-request", { errors: [first, ...others] });
}

export function isCanonical(text: string, type: ScalarType): boolean {
  if (!forms[type].pattern.test(text)) return false;
  return type !== "integer" || Number.isSafeInteger(Number(text));
}

/** The values as sent, percent-decoded in the path and the query. */
function valuesOf(request: Request, location: ParameterLocation, name: string): string[] {
  switch (location) {
    case "query":
      return [request.query[name] ?? []].flat().map(String);
    case "path":
      return [request.params[name] ?? []].flat();
    case "header":
      return [request.headers[name.toLowerCase()] ?? []].flat();
    case "cookie":
      return (request.headers.cookie ?? "").split(/; */).flatMap((pair) => {
        const [key, ...value] = pair.split("=");
        return key === name ? decodeCookie(value.join("=")) : [];
      });
  }
}

/** Decodes a cookie as the validator does. An undecodable value is not a number, and stays as it is. */
function decodeCookie(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/**
 * Rejects JSON numbers that JavaScript cannot represent: `1e400` would become Infinity, and 2^53 + 1 another number.
 * @throws {Problem} `invalid-request`
 */
export function requireRepresentableNumbers(body: unknown): void {
  const open: { value: unknown; pointer: string }[] = [{ value: body, pointer: "#" }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, pointer } = next;
    if (typeof value === "number" && !(Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER)) {
      throw new Problem("invalid-request", {
        errors: [
          { pointer, detail: `is not a number between -${Number.MAX_SAFE_INTEGER} and ${Number.MAX_SAFE_INTEGER}` },
        ],
      });
    }
    if (typeof value !== "object" || value === null) continue;
    for (const [name, member] of Object.entries(value)) {
      const isLeaf = typeof member !== "object" && typeof member !== "number";
      if (!isLeaf) open.push({ value: member, pointer: `${pointer}/${asPointerStep(name)}` });
    }
  }
}

/** A step of a JSON Pointer in a URI fragment (RFC 6901, section 6). */
const asPointerStep = (name: string): string =>
  encodeURI(name.toWellFormed().replaceAll("~", "~0").replaceAll("/", "~1")).replaceAll("#", "%23");
