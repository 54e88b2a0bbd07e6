/**
 * Parameters are text, and the validator converts them with JavaScript's rules, by which `0x10`, `1e2` and ` 5` are numbers. Here
 * each value has one way to be written.
 */
import type { Request } from "express";
import { Problem, type RequestError } from "../problems/problems.ts";
import type { Operation, ParameterPlace, ScalarType } from "./contract.ts";

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

/** @throws {Problem} `invalid-request` for each parameter whose value is not written in the one form of its type */
export function requireCanonicalScalars({ scalars }: Operation, request: Request): void {
  const wrong = scalars.filter(({ name, place, type, isList }) => {
    const values = valuesOf(request, place, name);
    // In whatever style the contract has: a separator in the wrong place is refused by the validator.
    return !(isList ? values.flatMap((value) => value.split(/[,| ]/)) : values).every((value) =>
      isCanonical(value, type),
    );
  });
  const [first, ...others] = wrong.map(({ name, place, type }): RequestError => {
    const { detail } = forms[type];
    return place === "header" ? { header: name, detail } : { parameter: name, detail };
  });
  if (first) throw new Problem("invalid-request", { errors: [first, ...others] });
}

export function isCanonical(text: string, type: ScalarType): boolean {
  if (!forms[type].pattern.test(text)) return false;
  return type !== "integer" || Number.isSafeInteger(Number(text));
}

/** As they were sent, percent-decoded where the place is percent-encoded. */
function valuesOf(request: Request, place: ParameterPlace, name: string): string[] {
  switch (place) {
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

/** The validator decodes a cookie like this. What cannot be decoded stays, and is no number. */
function decodeCookie(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/**
 * JSON has numbers that JavaScript has not: `1e400` would be Infinity, and 2^53 + 1 another number.
 * @throws {Problem} `invalid-request` for such a one in a body
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
