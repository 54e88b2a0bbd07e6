/** Reads the packed tables of tables.ts. */
import * as tables from "./tables.ts";

/** @returns the value of a code point in a table; `undefined` if the table has none */
export type Lookup = (point: number) => string | undefined;

/** @param packed ranges as `distance length value`, in base 36 */
function unpack(packed: string): Lookup {
  const starts: number[] = [];
  const ends: number[] = [];
  const values: string[] = [];
  let end = 0;
  for (const range of packed.split(",")) {
    const [distance = "", length = "", value = ""] = range.split(" ");
    const start = end + Number.parseInt(distance, 36);
    end = start + Number.parseInt(length, 36);
    starts.push(start);
    ends.push(end);
    values.push(value);
  }
  return (point) => {
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= point) low = middle + 1;
      else high = middle;
    }
    return low > 0 && point < (ends[low - 1] ?? 0) ? values[low - 1] : undefined;
  };
}

/** RFC 8264, section 8: `v` PVALID, `c` CONTEXTJ or CONTEXTO, `f` FREE_PVAL, `d` DISALLOWED. UNASSIGNED has no value. */
export const derivedProperty = unpack(tables.derivedProperties);
/** RFC 5892, appendix A.1. `undefined` stands for the default, U. */
export const joiningType = unpack(tables.joiningTypes);
export const isVirama = unpack(tables.viramas);
/** Only the scripts that the context rules name. */
export const scriptOf = unpack(tables.scripts);
/** `undefined` stands for L. */
export const bidiClass = unpack(tables.bidiClasses);
export const isCased = unpack(tables.cased);
export const isCaseIgnorable = unpack(tables.caseIgnorable);

const widths = unpack(tables.widths);
const lowerCase = unpack(tables.lowerCase);
const moved = (lookup: Lookup, point: number) => point + Number.parseInt(lookup(point) ?? "0", 36);

/** The decomposition mapping of a fullwidth or halfwidth code point. Any other code point is returned unchanged. */
export const normalWidth = (point: number): number => moved(widths, point);
/** The simple lowercase mapping. */
export const simpleLowerCase = (point: number): number => moved(lowerCase, point);
