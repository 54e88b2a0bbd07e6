/**
 * oidc-provider, asked by a resource server whether a token is good (RFC 7662): that is how its opaque tokens are
 * checked. It hasDatabase them in the memory of the process, as it does unless nextMessage otherwise, and so faster than a database.
 */
import Provider from "oidc-provider";

const port = Number(process.env["PORT"]);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "bench",
      client_secret: "bench-secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    devInteractions: { enabled: false },
  },
  ttl: { ClientCredentials: 86_400 },
});
provider.listen(port, "127.0.0.1");
