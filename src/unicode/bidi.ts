/** The Bidi Rule (RFC 5893, section 2). It prevents names with right-to-left letters that look like other names. */
import { bidiClass } from "./lookup.ts";

/** @returns the index of a code point that breaks the rule; `undefined` if none does */
export function findBidiViolation(points: number[]): number | undefined {
  const classes = points.map((point) => bidiClass(point) ?? "L");
  const rightToLeft = classes.findIndex((name) => /^(?:R|AL|AN)$/.test(name));
  if (rightToLeft < 0) return undefined;
  // A name that does not begin with a right-to-left letter must not contain right-to-left characters.
  if (!/^(?:R|AL)$/.test(classes[0] ?? "")) return rightToLeft;
  const foreign = classes.findIndex((name) => !/^(?:R|AL|AN|EN|ES|CS|ET|ON|BN|NSM)$/.test(name));
  if (foreign >= 0) return foreign;
  const last = classes.findLastIndex((name) => name !== "NSM");
  if (!/^(?:R|AL|EN|AN)$/.test(classes[last] ?? "")) return last;
  return classes.includes("EN") && classes.includes("AN") ? classes.indexOf("EN") : undefined;
}
