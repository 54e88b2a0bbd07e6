/**
 * Limits V8's space for new objects while the program starts. Import it before the program. Otherwise that space grows to dozens
 * of megabytes for objects that are used once, and an idle service keeps this memory.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--semi-space-growth-factor=1");

/** Lets the space grow again, as is V8's default: a busy service then spends less time on garbage collection. */
export const letNewSpaceGrow = (): void => setFlagsFromString("--semi-space-growth-factor=2");
