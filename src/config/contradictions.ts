/** Finds settings whose values are allowed, but not in combination. */
import { secretKeyAllowed } from "./values.ts";

/** The weakest parameters that OWASP recommends for argon2id: 7168 KiB with 5 passes. */
const minimumHashingWork = 7168 * 5;

/** @returns a sentence for each contradiction */
export function contradictions(
  environment: Record<string, string | undefined>,
  settings: { argon2MemoryKib?: number; argon2Passes?: number; registration?: string; pagesRegistration?: boolean },
): string[] {
  const wrong: string[] = [];
  const { argon2MemoryKib, argon2Passes, registration, pagesRegistration } = settings;
  if (environment["DATABASE_URL"] !== undefined && environment["SECRET_KEY"] === undefined) {
    wrong.push(`SECRET_KEY is missing, and is required with DATABASE_URL: ${secretKeyAllowed}.`);
  }
  const mode = environment["PGSSLMODE"] ?? "";
  if (
    ["require", "verify-ca", "verify-full"].includes(mode) &&
    !/[?&]ssl(?:mode)?=/.test(environment["DATABASE_URL"] ?? "?ssl=")
  ) {
    wrong.push(`PGSSLMODE is not used: append ?sslmode=${mode} to DATABASE_URL.`);
  }
  if ((environment["TLS_CERT"] === undefined) !== (environment["TLS_KEY"] === undefined)) {
    wrong.push("TLS_CERT and TLS_KEY: only one is set. Allowed: both, or neither.");
  }
  if (argon2MemoryKib && argon2Passes && argon2MemoryKib * argon2Passes < minimumHashingWork) {
    wrong.push(
      `ARGON2_MEMORY_KIB and ARGON2_PASSES: ${argon2MemoryKib} times ${argon2Passes} is not allowed. Allowed: a product of ${minimumHashingWork} or more (OWASP).`,
    );
  }
  if (pagesRegistration && registration === "closed") {
    wrong.push("PAGES_REGISTRATION=on is not allowed with REGISTRATION=closed. Allowed: REGISTRATION=open.");
  }
  return wrong;
}
