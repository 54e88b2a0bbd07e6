/** argon2 (RFC 9106) of other variants and with several lanes, in the PHC string format, and with the prefixes of Django and LDAP. */
import { verify } from "@node-rs/argon2";
import {
  decodeUnpaddedBase64,
  type ForeignHash,
  grouped,
  malformed,
  type RefusedHash,
  tooExpensive,
  wholeNumber,
} from "./foreignHash.ts";

const maxMemoryMiB = 256;
/** Of memory in MiB times passes. Takes about a second. */
const maxWork = 1024;
const maxLanes = 64;

/** @param isLimited false for a cost that the settings allow */
export function readArgon2(text: string, isLimited = true): ForeignHash | RefusedHash | undefined {
  const [prefix, , variant = ""] = /^(argon2|\{ARGON2\})?\$(argon2(?:id|i|d))\$/.exec(text) ?? [];
  if (prefix === undefined) return undefined;
  const encoded = text.replace(/^(?:argon2|\{ARGON2\})(?=\$)/, "");
  const [, memory, passes, lanes, salt, digest] =
    /^\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(encoded) ?? [];
  const cost = { memoryKiB: wholeNumber(memory), passes: wholeNumber(passes), lanes: wholeNumber(lanes) };
  const isPossible = cost.passes >= 1 && cost.lanes >= 1 && cost.memoryKiB >= 8 * cost.lanes;
  if (!isPossible || !isSized(salt, 8, 64) || !isSized(digest, 12, 64)) return malformed(variant);
  const parameters = `${grouped(cost.memoryKiB)} KiB, ${cost.passes} passes, ${cost.lanes} lanes`;
  const work = (cost.memoryKiB / 1024) * cost.passes;
  const hash = { form: variant, parameters, work, matches: (password: string) => verify(encoded, password) };
  if (!isLimited) return hash;
  if (cost.memoryKiB > maxMemoryMiB * 1024) return tooExpensive(variant, parameters, `${maxMemoryMiB} MiB`);
  if (work > maxWork) return tooExpensive(variant, parameters, `${maxWork} MiB times passes`);
  if (cost.lanes > maxLanes) return tooExpensive(variant, parameters, `${maxLanes} lanes`);
  return hash;
}

function isSized(text: string | undefined, minBytes: number, maxBytes: number): boolean {
  const length = decodeUnpaddedBase64(text)?.length;
  return length !== undefined && length >= minBytes && length <= maxBytes;
}
