/** The Bidi Rule (RFC 5893, section 2): a name with right-to-left letters must not look like another name. */
import { bidiClass } from "./lookup.ts";

/** @returns the index of a code point that breaks the rule; `undefined` if none does */
export function findBidiViolation(points: number[]): number | undefined {
  const classes = points.map((point) => bidiClass(point) ?? "L");
  const rightToLeft = classes.findIndex((name) => /^(?:R|AL|AN)$/.test(name));
  if (rightToLeft < 0) return undefined;
  // A name that begins with a left-to-right letter must not contain these.
  if (!/^(?:R|AL)$/.test(classes[0] ?? "")) return rightToLeft;
  const foreign = classes.findIndex((name) => !/^(?:R|AL|AN|EN|ES|CS|ET|ON|BN|NSM)$/.test(name));
  if (foreign >= 0) return foreign;
  const last = classes.findLastIndex((name) => name !== "NSM");
  if (!/^(?:R|AL|EN|AN)$/.test(classes[last] ?? "")) return last;
  return classes.includes("EN") && classes.includes("AN") ? classes.indexOf("EN") : undefined;
}
