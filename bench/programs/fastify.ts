/** A Fastify service with 200 operations, with the contract guard or, without `GUARD`, without it. */
import fastify from "fastify";
import { fastifyGuard } from "../../packages/verify/src/adapters/fastify.ts";
import { contractGuard } from "../../packages/verify/src/index.ts";
import { createTestIssuer } from "../../packages/verify/src/testing.ts";

const issuer = createTestIssuer();
const app = fastify();

const kinds = Array.from({ length: 40 }, (_, n) => `things${n}`);
const requires = (scope: string) => ({ security: [{ bearerAuth: [scope] }] });
const paths: Record<string, Record<string, unknown>> = Object.fromEntries(
  kinds.flatMap((kind) => {
    const [read, write] = [requires(`${kind}:read`), requires(`${kind}:write`)];
    return [
      [`/v1/${kind}`, { get: read, post: write }],
      [`/v1/${kind}/{id}`, { get: read, put: write, delete: write }],
    ];
  }),
);
const contract = {
  openapi: "3.1.0",
  paths: { ...paths, "/token": { get: { security: [] } } },
  components: { securitySchemes: { bearerAuth: { type: "http", scheme: "bearer" } } },
};

if (process.env["GUARD"] === "on") {
  app.addHook("onRequest", fastifyGuard(await contractGuard({ contract, verifier: issuer.verifier })));
}
for (const [path, item] of Object.entries(paths)) {
  for (const method of Object.keys(item)) {
    app.route({
      method: method.toUpperCase(),
      url: path.replace("{id}", ":id"),
      handler: async () => ({ data: "Hello!" }),
    });
  }
}
const scopes = kinds.map((kind) => `${kind}:read`);
app.get("/token", async () => ({ token: issuer.issueTestToken({ scopes, lifetimeSeconds: 86_400 }) }));

await issuer.verifier.ready();
await app.listen({ port: Number(process.env["PORT"]), host: "127.0.0.1" });
