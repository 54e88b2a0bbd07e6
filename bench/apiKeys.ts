/** API keys that the database of Latchkey contains, and that the load knows. */
import { createHash } from "node:crypto";
import { digestBytes, formatKey, parseKey } from "../src/apiKeys/format.ts";

/** The text of the n-th key. */
export const keyOf = (n: number): string => formatKey(createHash("sha256").update(`bench ${n}`).digest());

/** The digest of the n-th key, as the database stores it. */
export const digestOfKey = (n: number): Buffer => digestBytes(parseKey(keyOf(n)) ?? "");
