/**
 * oidc-provider, with its storage in the memory of the process. A user is signed in as whom `login_hint` names, and allows the client
 * what it asks for.
 */
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";
import { oauthApi, oauthClient } from "../oauth.ts";

const port = Number(process.env["PORT"]);
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const provider: Provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "bench",
      client_secret: "bench-secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
    {
      client_id: oauthClient.id,
      client_secret: oauthClient.secret,
      grant_types: ["client_credentials", "authorization_code"],
      redirect_uris: [oauthClient.redirectUri],
      response_types: ["code"],
    },
  ],
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "ES256" }] },
  cookies: { keys: ["bench"] },
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, audience) => ({
        audience,
        scope: oauthApi.scope,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
  ttl: { ClientCredentials: 86_400 },
  interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
  async loadExistingGrant({ oidc: { session, client } }) {
    const { accountId } = session ?? {};
    if (!session || !client || accountId === undefined) return undefined;
    const known = session.grantIdFor(client.clientId);
    if (known !== undefined) return provider.Grant.find(known);
    const grant = new provider.Grant({ accountId, clientId: client.clientId });
    grant.addOIDCScope("openid");
    grant.addResourceScope(oauthApi.audience, oauthApi.scope);
    await grant.save();
    return grant;
  },
});
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: String(params["login_hint"]) } });
});
provider.listen(port, "127.0.0.1");
