import type { SourceEdit } from "./build.ts";

/** A fault that is planted into the service, and the check that must find it. */
export type PlantedFault = {
  /** Also the name of its program in build/. */
  name: string;
  edits: SourceEdit[];
  /** The promise that is broken, or `outages` for what only a service in trouble answers. */
  finds: string;
  /** What the finding says. */
  what: RegExp;
};

export const fault = (name: string, finds: string, what: RegExp, ...edits: SourceEdit[]): PlantedFault => ({
  name,
  edits,
  finds,
  what,
});
