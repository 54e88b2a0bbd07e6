/**
 * To be imported before the program. While a program starts, V8 lets the space for new objects grow to dozens of megabytes for
 * what is read and compiled once, and a service with little to do would keep them for ever.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--semi-space-growth-factor=1");

/** Once started: a service with much to do spends less time on collecting garbage where that space can grow. */
export const letNewSpaceGrow = (): void => setFlagsFromString("--semi-space-growth-factor=2"); // as V8 has it
