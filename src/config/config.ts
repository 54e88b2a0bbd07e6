/**
 * The settings, from the environment. To add one, add an entry to `settings` in settings.ts: its type, its default, `--help` and
 * the messages for a wrong value follow from it. A test compares the table in docs/settings.md.
 */
import type { z } from "zod";
import { ConfigError } from "../errors.ts";
import { contradictions } from "./contradictions.ts";
import { findMisspellings } from "./misspelledNames.ts";
import { type CamelCase, type Description, describe, describeMisspelling, readValues } from "./readSettings.ts";
import { settings } from "./settings.ts";

type SettingName = keyof typeof settings;
type Value<Name extends SettingName> = (typeof settings)[Name] extends { fallback: string }
  ? z.output<(typeof settings)[Name]["schema"]>
  : z.output<(typeof settings)[Name]["schema"]> | undefined;

/** The validated and converted settings. */
export type Config = Readonly<{ [Name in SettingName as CamelCase<Name>]: Value<Name> }>;

/**
 * Reads and validates every setting. An empty value is an error: `DATABASE_URL=` must not select the embedded Postgres.
 * @throws {ConfigError} that names each wrong setting, its value (unless it is a secret) and the allowed values, and each critical
 *   setting whose name is misspelled
 */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const { values, wrong } = readValues(settings, environment);
  wrong.push(...contradictions(environment, values as Partial<Config>));
  if (wrong.length > 0) throw new ConfigError(wrong.join("\n"));
  return Object.freeze(values) as Config;
}

/** @returns a sentence for each variable whose name resembles a setting that is not set */
export const misspelledSettings = (environment: Record<string, string | undefined>): string[] =>
  findMisspellings(environment, Object.keys(settings)).map(describeMisspelling);

/** The settings, for `--help`. */
export const describeSettings = (): Description[] => describe(settings);
