/**
 * Requests to be sent, as plain data, so that fast-check can shrink them; what they ask of earlier answers is filled
 * in when they are played (play.ts).
 */

/** A JSON value, or how to come by one. */
export type Value =
  | { json: unknown }
  /** Text that stands in the body as it is. */
  | { raw: string }
  /** Something that an earlier answer returned under such a name; the newest is 0. `otherwise`: where there is none. */
  | { returned: string; pick: number; otherwise?: unknown }
  | { members: [string, Value][] }
  | { items: Value[] };

export type Credentials =
  | { kind: "none" }
  /** Of the users so far, the newest is 0; by the name as it was typed, or as it is kept. */
  | { kind: "password"; pick: number; typed: boolean }
  | { kind: "wrong password"; pick: number; password: string }
  | { kind: "token"; pick: number; as: "bearer" | "basic" }
  | { kind: "forged token"; pick: number; how: number; as: "bearer" | "basic" }
  | { kind: "expired token"; as: "bearer" | "basic" }
  | { kind: "raw"; headers: string[] };

export type Corruption =
  | { kind: "cut"; at: number }
  | { kind: "bytes"; at: number; bytes: number[] }
  | { kind: "padded"; to: number }
  | { kind: "replaced"; text: string }
  | { kind: "utf-16" };

export type Body = { value: Value; types: string[]; corruption: Corruption | undefined };

export type Step = {
  operation: string;
  method: string;
  credentials: Credentials;
  /** Of each parameter of the path: what stands there, and how it is written. */
  path: Record<string, { value: Value; spelling: "plain" | "upper" | "urn" | "escaped" } | { raw: string }>;
  query: { name: string; value: Value }[];
  /** Appended to the query as it is. */
  rawQuery: string[];
  headers: [string, string][];
  body: Body | undefined;
};

export const json = (value: unknown): Value => ({ json: value });
