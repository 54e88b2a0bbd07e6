/**
 * Requests as data, which fast-check can shrink. play.ts fills in the values of earlier responses.
 */

/** A JSON value, or the way to make one. */
export type Value =
  | { json: unknown }
  /** Bytes of the body. */
  | { raw: string }
  /** The value that an earlier response returned under this name, 0 for the newest; or else `otherwise`. */
  | { returned: string; pick: number; otherwise?: unknown }
  /** The newest value that a response returned under this name, whatever the operation. */
  | { latest: string }
  | { members: [string, Value][] }
  | { items: Value[] };

export type Credentials =
  | { kind: "none" }
  /** A user so far, 0 for the newest, by the name as it was typed or as it is stored. */
  | { kind: "password"; pick: number; typed: boolean }
  | { kind: "administrator" }
  | { kind: "wrong password"; pick: number; password: string }
  | { kind: "token"; pick: number; as: "bearer" | "basic" }
  | { kind: "forged token"; pick: number; how: number; as: "bearer" | "basic" }
  | { kind: "expired token"; as: "bearer" | "basic" }
  /** The newest client, by its id and secret. */
  | { kind: "client" }
  /** The newest access token of a client. `dpop`: it is bound to the key of the proof. */
  | { kind: "issued token"; as: "bearer" | "dpop" }
  | { kind: "raw"; headers: string[] };

export type Corruption =
  | { kind: "cut"; at: number }
  | { kind: "bytes"; at: number; bytes: number[] }
  | { kind: "padded"; to: number }
  | { kind: "replaced"; text: string }
  | { kind: "appended"; text: string }
  | { kind: "utf-16" };

export type Body = { value: Value; types: string[]; corruption: Corruption | undefined };

/** A proof of possession of a key (RFC 9449), and what is wrong with it. */
export type Proof = "valid" | "another method" | "another path" | "old" | "used" | "another key" | "no signature";

export type Step = {
  operation: string;
  method: string;
  credentials: Credentials;
  /** For each path parameter its value, and how it is written. */
  path: Record<string, { value: Value; spelling: "plain" | "upper" | "urn" | "escaped" } | { raw: string }>;
  query: { name: string; value: Value }[];
  /** Appended to the query unchanged. */
  rawQuery: string[];
  headers: [string, string][];
  /** Default: those that the service has set, if the operation takes cookies. */
  cookie?: string | undefined;
  proof?: Proof | undefined;
  body: Body | undefined;
};

export const json = (value: unknown): Value => ({ json: value });
