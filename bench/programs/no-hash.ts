/** Loaded before Latchkey: verifies every password at once, so that the rest of a sign-in can be measured. */
import { createRequire } from "node:module";

Object.assign(createRequire(import.meta.url)("@node-rs/argon2"), { verify: () => Promise.resolve(true) });
