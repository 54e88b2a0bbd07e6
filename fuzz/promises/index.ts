/** The promises of the service that the contract cannot express, each with its check. */

import { boundsAreKept, lengthsAreWhole } from "./bounds.ts";
import { headIsGet, inputsAreChecked, locationsLead, nothingElseIsServed, otherOriginsReadNothing } from "./http.ts";
import {
  basicIsStrict,
  namesAreOneUser,
  passwordsAreExact,
  usernamesAreNotDisclosed,
  weakPasswordsAreRefused,
} from "./passwords.ts";
import type { Probe } from "./probe.ts";
import {
  guessesEndNothing,
  lostAnswersAreGivenAgain,
  pagesAreWhole,
  reuseIsNoticed,
  sessionsAreLimited,
  sessionsAreOnesOwn,
} from "./sessions.ts";
import { claimsAreVerified, credentialsAreDeclared, endingsEnd, tokensCannotBeForged } from "./tokens.ts";

/** By name, in the order in which they are checked: attacks first. */
export const promises: Record<string, (probe: Probe) => Promise<void>> = {
  "passwords-are-exact": passwordsAreExact,
  "names-are-one-user": namesAreOneUser,
  "basic-is-strict": basicIsStrict,
  "tokens-cannot-be-forged": tokensCannotBeForged,
  "claims-are-verified": claimsAreVerified,
  "endings-end": endingsEnd,
  "sessions-are-ones-own": sessionsAreOnesOwn,
  "lost-answers-are-given-again": lostAnswersAreGivenAgain,
  "reuse-is-noticed": reuseIsNoticed,
  "guesses-end-nothing": guessesEndNothing,
  "usernames-are-not-disclosed": usernamesAreNotDisclosed,
  "credentials-are-declared": credentialsAreDeclared,
  "weak-passwords-are-refused": weakPasswordsAreRefused,
  "sessions-are-limited": sessionsAreLimited,
  "pages-are-whole": pagesAreWhole,
  "head-is-get": headIsGet,
  "nothing-else-is-served": nothingElseIsServed,
  "inputs-are-checked": inputsAreChecked,
  "other-origins-read-nothing": otherOriginsReadNothing,
  "locations-lead": locationsLead,
  "lengths-are-whole": lengthsAreWhole,
  "bounds-are-kept": boundsAreKept,
};
