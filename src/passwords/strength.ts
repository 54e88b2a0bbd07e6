/**
 * Finds long passwords that are easy to guess. The estimator (zxcvbn) knows common passwords, English words, names, dates,
 * keyboard patterns, repetitions and sequences. NIST SP 800-63B-4, section 3.1.1.2, requires a blocklist of such values.
 */
import { ZxcvbnFactory } from "@zxcvbn-ts/core";
import { adjacencyGraphs, dictionary as common } from "@zxcvbn-ts/language-common";
import { dictionary as english } from "@zxcvbn-ts/language-en";

/** `too-common`: one of the most used passwords. `too-predictable`: it takes few guesses. */
export type Weakness = "too-common" | "too-predictable";

const estimator = new ZxcvbnFactory({
  dictionary: { ...common, ...english },
  graphs: adjacencyGraphs,
  // Bounds the work: 128 characters take up to 0.25 s, and several times as long with the default of 100.
  l33tMaxSubstitutions: 4,
});
const commonPasswords = new Set(common["passwords-common"]);
const mostCommon = new Set(common["passwords-common"].slice(0, 200));

/** log10 of the guesses that a password must resist. Three random words from a list of 7,776, with spaces, resist more. */
const minGuessesLog10 = 11;
/** The same for the password without its repetitions. */
const minGuessesLog10WithoutRepetitions = 9;
/** A password with this number of different words is always accepted: the advice to users is "three or four unrelated words". */
const sufficientWords = 3;

/**
 * @param password upper and lower case do not matter
 * @param contextWords words that an attacker of this service tries first, such as its name, in lower case
 * @returns `undefined` for a strong password
 */
export function findWeakness(password: string, contextWords: string[]): Weakness | undefined {
  if (commonPasswords.has(password.toLowerCase())) return "too-common";
  const isStrong =
    resists(password, contextWords, minGuessesLog10) &&
    resists(withoutRepetitions(password), contextWords, minGuessesLog10WithoutRepetitions);
  return isStrong ? undefined : "too-predictable";
}

function resists(password: string, contextWords: string[], minimum: number): boolean {
  const { guessesLog10, sequence } = estimator.check(password, contextWords);
  if (guessesLog10 >= minimum) return true;
  const words = sequence.flatMap((match) => {
    if (match.pattern !== "dictionary") return [];
    const word: string = match["matchedWord"];
    const isContext = match["dictionaryName"] === "userInputs";
    return !isContext && /^\p{L}{3,}$/u.test(word) && !mostCommon.has(word) ? [word] : [];
  });
  return new Set(words).size >= sufficientWords;
}

/** Removes repeated characters (`aabbcc`), and a separator that is always the same (`a-b-c`). */
function withoutRepetitions(password: string): string {
  const single = password.replace(/(.)\1+/gu, "$1");
  const separators = new Set(single.match(/[^\p{L}\p{N}]/gu) ?? []);
  return separators.size === 1 ? single.replace(/[^\p{L}\p{N}]/gu, "") : single;
}
