/**
 * Is a password easy to guess, although it is long? Judged by an estimator that knows common passwords, English words,
 * names, dates, keyboard patterns, repetitions and sequences (zxcvbn). NIST SP 800-63B-4, section 3.1.1.2, asks for a
 * blocklist of such values.
 */
import { ZxcvbnFactory } from "@zxcvbn-ts/core";
import { adjacencyGraphs, dictionary as common } from "@zxcvbn-ts/language-common";
import { dictionary as english } from "@zxcvbn-ts/language-en";

/** `too-common`: one of the most used passwords. `too-predictable`: few guesses reach it. */
export type Weakness = "too-common" | "too-predictable";

const estimator = new ZxcvbnFactory({
  dictionary: { ...common, ...english },
  graphs: adjacencyGraphs,
  // Bounds the work: 128 characters take up to a quarter of a second, and several times as long with 100, the default.
  l33tMaxSubstitutions: 4,
});
const commonPasswords = new Set(common["passwords-common"]);
const mostCommon = new Set(common["passwords-common"].slice(0, 200));

/** Guesses (log10) that a password needs. Three random words of a list of 7,776 with spaces between them have more. */
const enough = 11;
/** The same without what repeats. */
const enoughSqueezed = 9;
/** So many different words are accepted, however the estimator ranks them: the advice is "a few unrelated words". */
const enoughWords = 3;

/**
 * @param password lower and upper case are the same
 * @param contextWords what an attacker tries first here, such as the name of the service, in lower case
 * @returns `undefined` where the password is fine
 */
export function weaknessOf(password: string, contextWords: string[]): Weakness | undefined {
  if (commonPasswords.has(password.toLowerCase())) return "too-common";
  const isFine = resists(password, contextWords, enough) && resists(squeeze(password), contextWords, enoughSqueezed);
  return isFine ? undefined : "too-predictable";
}

function resists(password: string, contextWords: string[], least: number): boolean {
  const { guessesLog10, sequence } = estimator.check(password, contextWords);
  if (guessesLog10 >= least) return true;
  const words = sequence.flatMap((match) => {
    if (match.pattern !== "dictionary") return [];
    const word: string = match["matchedWord"];
    const isContext = match["dictionaryName"] === "userInputs";
    return !isContext && /^\p{L}{3,}$/u.test(word) && !mostCommon.has(word) ? [word] : [];
  });
  return new Set(words).size >= enoughWords;
}

/** Without repeated characters (`aabbcc`) and without a separator that is always the same (`a-b-c`): they add nothing. */
function squeeze(password: string): string {
  const single = password.replace(/(.)\1+/gu, "$1");
  const separators = new Set(single.match(/[^\p{L}\p{N}]/gu) ?? []);
  return separators.size === 1 ? single.replace(/[^\p{L}\p{N}]/gu, "") : single;
}
