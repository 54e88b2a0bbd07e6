import { existsSync, readFileSync } from "node:fs";
import { answerFaults } from "./answers.ts";
import { credentialFaults } from "./credentials.ts";
import type { PlantedFault } from "./fault.ts";
import { sessionFaults } from "./sessions.ts";
import { undetectableFaults } from "./undetectable.ts";

export const plantedFaults: PlantedFault[] = [...credentialFaults, ...sessionFaults, ...answerFaults];

/** Returns a line for each edit whose text does not occur exactly once in its file, because the source has changed. */
export function outdatedEdits(): string[] {
  return [...plantedFaults, ...undetectableFaults].flatMap(({ name, edits }) =>
    edits.flatMap(([file, from]) => {
      const occurrences = existsSync(file) ? readFileSync(file, "utf8").split(from).length - 1 : 0;
      return occurrences === 1 ? [] : [`${name}: ${file} contains ${occurrences} times: ${from}`];
    }),
  );
}
