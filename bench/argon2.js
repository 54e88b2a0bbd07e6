/** The cost that all contenders hash passwords at: OWASP's minimum, which is Latchkey's default. */
export const argon2 = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
