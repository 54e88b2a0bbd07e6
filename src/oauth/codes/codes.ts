/** The text of authorization codes (RFC 6749, section 4.1.2) and device codes (RFC 8628, section 3.2). */
import { hash, randomBytes } from "node:crypto";

/** @returns 256 random bits in base64url */
export const newCode = (): string => randomBytes(32).toString("base64url");

/** The stored form of a code. */
export const digestOfCode = (code: string): Buffer => hash("sha256", code, "buffer");
