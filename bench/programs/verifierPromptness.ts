/**
 * A service beside Latchkey that verifies tokens. Its parent sends tokens; it answers when each is remembered, and again when it
 * is refused, with the time (milliseconds since 1970).
 */
import { createVerifier, Refusal } from "../../packages/verify/src/index.ts";

const [url = "", audience = "", credential = ""] = process.argv.slice(2);
const verifier = createVerifier({ issuer: "http://127.0.0.1:8080", url, audience, credential });
await verifier.ready();

process.on("message", async (token: string) => {
  await verifier.verify(`Bearer ${token}`);
  process.send?.("accepted");
  const check = () => {
    try {
      void verifier.verify(`Bearer ${token}`);
      setImmediate(check);
    } catch (error) {
      const refusedMs = performance.timeOrigin + performance.now();
      // Another refusal, such as that of a stale list, would count as prompt.
      if (!(error instanceof Refusal) || !error.problem.type.endsWith("/token-revoked")) throw error;
      process.send?.(refusedMs);
    }
  };
  check();
});
process.once("SIGINT", () => process.exit());
process.send?.("ready");
