/**
 * oidc-provider's introspection of an opaque token (RFC 7662), which is what an API asks for each request that it gets.
 * Its tokens are in memory, its default for development: on Postgres it would be slower.
 */
import Provider from "oidc-provider";

const port = Number(process.env.PORT);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "bench",
      client_secret: "a secret for the benchmark alone",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
  },
});
provider.listen(port, "127.0.0.1");
