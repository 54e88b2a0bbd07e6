/** Authorization codes (RFC 6749, section 4.1.2). */
import { hash, randomBytes } from "node:crypto";

/** @returns 256 random bits in base64url */
export const newCode = (): string => randomBytes(32).toString("base64url");

/** What is stored of a code. */
export const digestOfCode = (code: string): Buffer => hash("sha256", code, "buffer");
