// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the strings are source text
/** Faults in sessions and revocation, and in access to data of other users. */
import { fault, type PlantedFault } from "./fault.ts";

export const sessionFaults: PlantedFault[] = [
  fault("change-of-password-ends-nothing", "ended-credentials-are-rejected", /still works after a change of password/, [
    "src/users/store.ts",
    "SET password_hash = :passwordHash, token_epoch = token_epoch + 1, password_epoch = token_epoch + 1",
    "SET password_hash = :passwordHash",
  ]),
  fault(
    "sign-out-everywhere-does-nothing",
    "ended-credentials-are-rejected",
    /still works after signing out everywhere/,
    ["src/sessions/handlers.ts", "await users.signOutEverywhere(principal);", ""],
  ),
  fault("revoked-token-works", "ended-credentials-are-rejected", /still works after revoking/, [
    "src/tokens/revocation.ts",
    "await revocations.revoke(",
    "((..._ignored: unknown[]) => {})(",
  ]),
  fault("ended-session-keeps-its-tokens", "ended-credentials-are-rejected", /still works after ending the session/, [
    "src/revocations/revocations.ts",
    "of [tokenId, sessionId, userId,",
    "of [tokenId, userId,",
  ]),
  fault("deleted-user-keeps-tokens", "ended-credentials-are-rejected", /still works after deleting the user/, [
    "src/users/store.ts",
    '${revoke({ from: "deleted" })}',
    '${revoke({ from: "deleted", minimumEpoch: "0" })}',
  ]),
  fault("anothers-session-ended", "sessions-belong-to-their-user", /another user's session was ended/, [
    "src/sessions/ending/store.ts",
    "sessions.id = :id AND user_id = :userId",
    "sessions.id = :id AND :userId::uuid IS NOT NULL",
  ]),
  fault("anothers-sessions-listed", "sessions-belong-to-their-user", /another user's session is listed/, [
    "src/sessions/store.ts",
    "WHERE user_id = :userId AND token_epoch = user_epoch\n      AND ended_at",
    "WHERE :userId IS NOT NULL AND token_epoch = user_epoch\n      AND ended_at",
  ]),
  fault("another-user-read", "usernames-are-not-disclosed", /another user is read/, [
    "src/users/handlers.ts",
    'if ((await access.missingScopes(principal, ["users:read"])).length > 0) throw new Problem("not-found");',
    "",
  ]),
  fault(
    "unknown-user-disclosed",
    "usernames-are-not-disclosed",
    /distinguished from a wrong password/,
    [
      "src/users/signIn.ts",
      "import { Throttled }",
      'import { Problem } from "../problems/problems.ts";\nimport { Throttled }',
    ],
    [
      "src/users/signIn.ts",
      'const reason = account ? "wrong-password" : blockedId ? "blocked" : "unknown-user";',
      'if (!account) throw new Problem("invalid-credentials", { detail: "There is no such user." });\nconst reason = "wrong-password";',
    ],
  ),
  fault("refresh-reuse-ignored", "refresh-token-reuse-is-detected", /used refresh token works again/, [
    "src/sessions/refresh.ts",
    "if (reason) {",
    "if (reason && false) {",
  ]),
  fault("refresh-grace-unlimited", "refresh-token-reuse-is-detected", /used refresh token works again/, [
    "src/sessions/refresh.ts",
    "if (secondsSinceUse < times.graceSeconds) return true;",
    "return true;",
  ]),
  fault("refresh-from-another-network", "lost-refreshes-can-be-repeated", /another network/, [
    "src/sessions/refresh.ts",
    'return rotation && rotation.network !== network ? "another-network" : undefined;',
    "return undefined;",
  ]),
  fault("session-outlives-theft", "lost-refreshes-can-be-repeated", /continues after the theft/, [
    "src/sessions/refresh.ts",
    "await parts.endStolenSession(userId, id, reason);",
    "",
  ]),
  fault(
    "refresh-guess-ends-session",
    "invalid-refresh-tokens-end-no-session",
    /ended by invalid|refresh token returns/,
    [
      "src/sessions/refresh.ts",
      "if (session && !secrets.isGenuine(token, session.seed)) throw",
      "if (session && !secrets.isGenuine(token, session.seed)) {\nconst { state } = await store.find(token.sessionId, token.generation);\nif (state) await parts.endStolenSession(state.userId, token.sessionId, 'guess');\n}\nif (session && !secrets.isGenuine(token, session.seed)) throw",
    ],
  ),
  fault("session-limit-ignored", "sessions-are-limited", /more sessions than the limit/, [
    "src/sessions/store.ts",
    ":kept) AS oldest",
    ":kept + 1000) AS oldest",
  ]),
  fault("page-too-long", "pages-are-complete", /a page of 2 has 3/, [
    "src/lib/page.ts",
    "found.slice(0, limit)",
    "found",
  ]),
  fault("page-repeats-its-end", "pages-are-complete", /pages/, [
    "src/sessions/store.ts",
    "sessions.id < :cursor)",
    "sessions.id <= :cursor)",
  ]),
];
