/** Verifies Latchkey's tokens and API keys in another service, from memory, and follows revocations. */
export { Refusal } from "./refusal.ts";
