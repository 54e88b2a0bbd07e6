/** Finds environment variables whose names are probably misspelled settings. */

export type Misspelling = {
  given: string;
  meant: string;
  /** Whether only case, underscores, a plural, one letter, a prefix or a suffix differ. */
  isCertain: boolean;
};

/** Variables of npm, Postgres and its image, OpenTelemetry, Kubernetes services, Docker links and others. */
const unrelated =
  /^(?:npm_|PG|POSTGRES_|OTEL_|KUBERNETES_|NODE_|GITHUB_|CI_|XDG_|AWS_|VITEST|HOSTNAME$)|_SERVICE_(?:HOST|PORT)|_PORT_\d+_(?:TCP|UDP)/;
const ownPrefix = /^LATCHKEY_/i;

/** @param names of all settings. A setting that is set is not meant by another variable. */
export function findMisspellings(
  environment: Record<string, string | undefined>,
  names: readonly string[],
): Misspelling[] {
  const unset = names.filter((name) => environment[name] === undefined);
  return Object.keys(environment).flatMap((given) => {
    if (names.includes(given) || unrelated.test(given) || environment[given]?.startsWith("tcp://")) return [];
    const certain = unset.find((name) => isCertainly(given, name));
    const meant = certain ?? unset.find((name) => isProbably(given, name));
    return meant === undefined ? [] : [{ given, meant, isCertain: certain !== undefined }];
  });
}

function isCertainly(given: string, name: string): boolean {
  const plain = given.replace(ownPrefix, "").replace(/_FILE$/, "");
  if (plain === name && plain !== given) return true;
  const [a, b] = [lettersOf(plain), lettersOf(name)];
  // Short names are similar to too many others.
  return b.length >= 6 && (a === b || (a[0] === b[0] && isOneEditApart(a, b)));
}

/** Words were added or left out, or the unit differs, as in CORS_ALLOWED_ORIGINS, TOKEN_TTL and TOKEN_TTL_MINUTES. */
function isProbably(given: string, name: string): boolean {
  const [a, b] = [wordsOf(given.replace(ownPrefix, "")), wordsOf(name)];
  const common = a.filter((word) => b.includes(word)).length;
  if (common < 2) return false;
  return common === a.length || common === b.length || (a.length === b.length && common === a.length - 1);
}

const singular = (word: string): string => word.replace(/IES$/, "Y").replace(/(?<=..[^S])S$/, "");
const wordsOf = (name: string): string[] =>
  name
    .toUpperCase()
    .split(/[_.-]+/)
    .map(singular);
const lettersOf = (name: string): string => wordsOf(name).join("");

/** Whether one letter was added, omitted, replaced, or swapped with its neighbor. */
function isOneEditApart(a: string, b: string): boolean {
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  if (long.length - short.length > 1) return false;
  let start = 0;
  while (start < short.length && short[start] === long[start]) start += 1;
  const [restOfShort, restOfLong] = [short.slice(start), long.slice(start)];
  if (short.length < long.length) return restOfShort === restOfLong.slice(1);
  const isSwapped = restOfShort[0] === restOfLong[1] && restOfShort[1] === restOfLong[0];
  return restOfShort.slice(1) === restOfLong.slice(1) || (isSwapped && restOfShort.slice(2) === restOfLong.slice(2));
}
