import type { SourceEdit } from "./build.ts";

/** A fault that is planted into the service, and the check that must detect it. */
export type PlantedFault = {
  name: string;
  edits: SourceEdit[];
  /** The promise that detects it, or `outages` for responses of a degraded service. */
  detectedBy: string;
  /** Matches the message of the finding. */
  message: RegExp;
};

export const fault = (name: string, detectedBy: string, message: RegExp, ...edits: SourceEdit[]): PlantedFault => ({
  name,
  edits,
  detectedBy,
  message,
});
