/** Reads a table of settings from the environment, and says what is wrong with them. */
import { findMisspelt, type Misspelt } from "./misspelledNames.ts";
import { hint, type Setting, secretKey, withoutLineBreak } from "./values.ts";

export type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<CamelCase<Tail>>}`
  : Lowercase<Name>;

type Environment = Record<string, string | undefined>;

/** @returns the values by their names in camel case, and a sentence for each that is wrong */
export function readValues(
  settings: Record<string, Setting>,
  environment: Environment,
): { values: Record<string, unknown>; wrong: string[] } {
  const wrong: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const given = environment[name] ?? setting.fallback;
    // A secret key stays what it was, line break and all: see tokens/secretKey.ts.
    const isKey = setting.schema === secretKey;
    const value = isKey ? given : given && withoutLineBreak(given);
    const isAllowed = (other: string) => (isKey || isWhole(other)) && setting.schema.safeParse(other).success;
    const fault = value ? sentenceOf(setting, value) : undefined;
    if (fault !== undefined) {
      wrong.push(`${name}: ${fault}.`);
    } else if (value !== undefined && (value === "" || !isAllowed(value))) {
      const shown = setting.secret && given !== "" ? "what is given (not shown)" : JSON.stringify(given);
      wrong.push(`${name}: ${shown} is not allowed. Allowed: ${setting.allowed}.${hint(value, isAllowed)}`);
    } else {
      values[camelCase(name)] = value === undefined ? undefined : setting.schema.parse(value);
    }
  }
  const misspelt = findMisspelt(environment, Object.keys(settings));
  const critical = misspelt.filter(({ meant, isCertain }) => isCertain && settings[meant]?.critical);
  return { values, wrong: [...wrong, ...critical.map(describeMisspelt)] };
}

/** What a schema says of a value in words of its own. */
function sentenceOf({ schema }: Setting, value: string): string | undefined {
  const issue = schema.safeParse(value).error?.issues[0];
  return issue?.code === "custom" && issue.params?.["isSentence"] ? issue.message : undefined;
}

/** Nothing around it that a shell would have taken away, and an env file may not. */
const isWhole = (value: string): boolean => value.trim() === value && !/^(["']).*\1$/s.test(value);

const camelCase = (name: string) => name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Names the setting that was perhaps meant; never the value. */
export const describeMisspelt = ({ given, meant }: Misspelt): string =>
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
