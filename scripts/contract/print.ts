import type { Change } from "./changes.ts";

/** Prints changes, grouped by operation. */
export function printChanges(changes: Change[], title: string): void {
  console.log(title);
  for (const subject of new Set(changes.map((change) => change.subject))) {
    console.log(`\n${subject}`);
    for (const { verdict, text } of changes.filter((change) => change.subject === subject)) {
      console.log(`  ${verdict.padEnd(8)}  ${text}`);
    }
  }
  if (changes.length === 0) console.log("\nNo change affects clients.");
}
