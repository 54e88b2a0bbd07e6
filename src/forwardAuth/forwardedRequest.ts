/**
 * The request that a proxy asks about. Proxies describe it in one of two sets of headers. A client may send the other set, so
 * whatever is incomplete or contradictory is rejected.
 */
import type { operations } from "../../generated/openapi.ts";
import { isAuthority } from "../http/framing.ts";
import { invalidRequest, Problem } from "../problems/problems.ts";

/** The declared headers of forward-auth. A header that was sent more than once has its values joined with commas and spaces. */
export type ForwardedHeaders = NonNullable<operations["forwardAuth"]["parameters"]["header"]>;
type Name = keyof ForwardedHeaders & string;

export type ForwardedRequest = {
  method: string;
  /** The path and query, as the client sent them. */
  target: string;
};

/** A value, and the header that it is from. */
type Found = { header: Name; value: string };

/** With one of these, an API could perform another operation than the one that was authorized. */
const overrides = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Rewrite-URL"] as const;

/**
 * @param headers those that a trusted proxy sent
 * @throws {Problem} `invalid-request` if the method or the URI is missing, malformed or contradictory; `undeclared-operation` if
 * the request asks the API to treat it as another one
 */
export function forwardedRequest(headers: ForwardedHeaders): ForwardedRequest {
  const override = overrides.find((name) => headers[name] !== undefined);
  if (override !== undefined) {
    throw new Problem("undeclared-operation", {
      detail: `The request has the header ${override}, which could make the API perform another operation.`,
    });
  }
  const read = (header: Name, parse: (value: string) => string | undefined): Found[] => {
    const value = headers[header];
    if (value === undefined) return [];
    const parsed = parse(value);
    if (parsed === undefined) throw invalidRequest({ header, detail: "is malformed, or sent more than once" });
    return [{ header, value: parsed }];
  };
  const forwarded = {
    methods: read("X-Forwarded-Method", parseMethod),
    targets: read("X-Forwarded-Uri", parseTarget),
  };
  const original = {
    methods: read("X-Original-Method", parseMethod),
    targets: [...read("X-Original-URI", parseTarget), ...read("X-Original-URL", (url) => parseUrl(url)?.target)],
  };
  requireComplete(forwarded, "X-Forwarded-Method", "X-Forwarded-Uri");
  requireComplete(original, "X-Original-Method", "X-Original-URI");
  requireOne([
    ...read("X-Forwarded-Host", parseAuthority),
    ...read("X-Original-URL", (url) => parseUrl(url)?.authority),
  ]);
  const method = requireOne([...forwarded.methods, ...original.methods]);
  const target = requireOne([...forwarded.targets, ...original.targets]);
  if (method === undefined || target === undefined) {
    throw new Problem("invalid-request", {
      errors: [
        { header: "X-Forwarded-Method", detail: "is not sent by a trusted proxy (TRUST_PROXY)" },
        { header: "X-Forwarded-Uri", detail: "is not sent by a trusted proxy (TRUST_PROXY)" },
      ],
    });
  }
  return { method, target };
}

/** Requires both headers or neither. A proxy that sends only one of them passes on the client's value of the other one. */
function requireComplete({ methods, targets }: { methods: Found[]; targets: Found[] }, method: Name, target: Name) {
  if (methods.length === 0 && targets.length > 0) throw missing(method, targets[0]);
  if (targets.length === 0 && methods.length > 0) throw missing(target, methods[0]);
}

const missing = (header: Name, other: Found | undefined): Problem =>
  invalidRequest({
    header,
    detail: `is missing, although ${other?.header} is sent. The proxy must set or remove both`,
  });

/** @returns the value that all headers have; `undefined` without one. @throws {Problem} `invalid-request` */
function requireOne(found: readonly Found[]): string | undefined {
  const [first, ...others] = found;
  const other = others.find(({ value }) => value !== first?.value);
  if (other) throw invalidRequest({ header: other.header, detail: `contradicts ${first?.header}` });
  return first?.value;
}

/** Methods are case-sensitive (RFC 9110, section 9.1), and all registered ones are in capitals. */
const parseMethod = (value: string) => (/^[A-Z]+(?:-[A-Z]+)*$/.test(value) && value.length <= 32 ? value : undefined);

/** Visible ASCII characters without a fragment (RFC 9112, section 3.2.1). */
const parseTarget = (value: string) => (/^\/[!"$-~]*$/.test(value) ? value : undefined);

const parseAuthority = (value: string) => (isAuthority(value) ? value.toLowerCase() : undefined);

function parseUrl(value: string): { authority: string; target: string } | undefined {
  const [, host, rest = ""] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(value) ?? [];
  const authority = host === undefined ? undefined : parseAuthority(host);
  const target = parseTarget(rest.startsWith("/") ? rest : `/${rest}`);
  return authority === undefined || target === undefined ? undefined : { authority, target };
}
