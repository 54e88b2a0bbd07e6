/** Reads settings from the environment, and collects what is wrong with them. */
import { findMisspellings, type Misspelling } from "./misspelledNames.ts";
import { hint, type Setting, secretKey, withoutLineBreak } from "./values.ts";

export type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<CamelCase<Tail>>}`
  : Lowercase<Name>;

type Environment = Record<string, string | undefined>;

/** @returns the values by their names in camel case, and a sentence for each wrong setting */
export function readValues(
  settings: Record<string, Setting>,
  environment: Environment,
): { values: Record<string, unknown>; wrong: string[] } {
  const wrong: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const given = environment[name] ?? setting.fallback;
    // A line break stays part of a secret key (see tokens/secretKey.ts).
    const isKey = setting.schema === secretKey;
    const value = isKey ? given : given && withoutLineBreak(given);
    const isAllowed = (other: string) => (isKey || isTrimmed(other)) && setting.schema.safeParse(other).success;
    const fault = value ? ownMessage(setting, value) : undefined;
    if (fault !== undefined) {
      wrong.push(`${name}: ${fault}.`);
    } else if (value !== undefined && (value === "" || !isAllowed(value))) {
      const shown = setting.secret && given !== "" ? "the value (not shown)" : JSON.stringify(given);
      wrong.push(`${name}: ${shown} is not allowed. Allowed: ${setting.allowed}.${hint(value, isAllowed)}`);
    } else {
      values[camelCase(name)] = value === undefined ? undefined : setting.schema.parse(value);
    }
  }
  const misspellings = findMisspellings(environment, Object.keys(settings));
  const critical = misspellings.filter(({ meant, isCertain }) => isCertain && settings[meant]?.critical);
  return { values, wrong: [...wrong, ...critical.map(describeMisspelling)] };
}

/** @returns the message of a schema that explains the error itself */
function ownMessage({ schema }: Setting, value: string): string | undefined {
  const issue = schema.safeParse(value).error?.issues[0];
  return issue?.code === "custom" && issue.params?.["isSentence"] ? issue.message : undefined;
}

/** Without surrounding white space or quotation marks, which a shell removes and an env file may not. */
const isTrimmed = (value: string): boolean => value.trim() === value && !/^(["']).*\1$/s.test(value);

const camelCase = (name: string) => name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** @returns a sentence that names the setting that was probably meant, without its value */
export const describeMisspelling = ({ given, meant }: Misspelling): string =>
  `${given} is not a setting. Set ${meant} if that is meant, or remove ${given}.`;

export type Description = { name: string; fallback: string; help: string; allowed: string };

export function describe(settings: Record<string, Setting>): Description[] {
  return Object.entries(settings).map(([name, { fallback = "", help, allowed }]) => ({
    name,
    fallback,
    help,
    allowed,
  }));
}
