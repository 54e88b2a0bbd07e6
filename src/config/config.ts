/**
 * The settings, from the environment. `config/settings.ts` describes each of them once; `--help`, the table in docs/settings.md (checked
 * by a test) and the messages of a refused start come from there.
 */
import type { z } from "zod";
import { ConfigError } from "../errors.ts";
import { contradictions } from "./contradictions.ts";
import { findMisspelt } from "./misspelledNames.ts";
import { type CamelCase, type Description, describe, describeMisspelt, readValues } from "./readSettings.ts";
import { settings } from "./settings.ts";

type SettingName = keyof typeof settings;
type Value<Name extends SettingName> = (typeof settings)[Name] extends { fallback: string }
  ? z.output<(typeof settings)[Name]["schema"]>
  : z.output<(typeof settings)[Name]["schema"]> | undefined;

/** The settings as they were given, checked and converted. */
export type Config = Readonly<{ [Name in SettingName as CamelCase<Name>]: Value<Name> }>;

/**
 * Reads and checks every setting.
 * @throws {ConfigError} naming each wrong setting, what was given (never a secret) and what is
 * allowed; and each variable that is critical and misspelt. An empty value is an error: `DATABASE_URL=`
 * must not select the embedded database.
 */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const { values, wrong } = readValues(settings, environment);
  wrong.push(...contradictions(environment, values as Partial<Config>));
  if (wrong.length > 0) throw new ConfigError(wrong.join("\n"));
  return Object.freeze(values) as Config;
}

/** @returns a sentence for each variable that is not a setting, and whose name resembles one that is not set */
export const misspelledSettings = (environment: Record<string, string | undefined>): string[] =>
  findMisspelt(environment, Object.keys(settings)).map(describeMisspelt);

/** The settings for `--help`, a line each. */
export const describeSettings = (): Description[] => describe(settings);
