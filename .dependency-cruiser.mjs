/** Rules for imports, which `npm run lint` checks. */

/** From top to bottom. A file imports only from its own layer and from the layers below it. */
const layers = {
  main: "^src/main\\.ts$",
  cli: "^src/cli/",
  start: "^src/(start\\.ts$|start/)",
  process: "^src/process/",
  app: "^src/(app|operations|authenticator|warmUp)\\.ts$",
  domain:
    "^src/(access|apiKeys|clients|forwardAuth|users|sessions|tokens|passwords|throttling|revocations|audit|unicode|oauth|pages|resource|documentation|health)/",
  openapi: "^src/openapi/",
  infrastructure: "^src/(http|database|observability)/",
  base: "^src/((requestContext|principal|identifiers|networks|errors)\\.ts$|problems/|config/|lib/)",
};

/** Allowed imports from a higher layer, and why. */
const exceptions = {
  // Audit events are written to the log and counted; hashes are traced.
  infrastructure: "^src/(audit/audit|passwords/hashing|throttling/limits)\\.ts$",
  // The types of the request context.
  base: "^src/openapi/(binding|contract)\\.ts$",
};

const order = Object.entries(layers);
const layerRules = order.slice(1).map(([name, path], index) => ({
  name: `${name}-imports-nothing-above-it`,
  comment: `The layers, from top to bottom: ${Object.keys(layers).join(", ")}.`,
  severity: "error",
  from: { path },
  to: {
    path: order.slice(0, index + 1).map(([, above]) => above),
    ...(exceptions[name] && { pathNot: exceptions[name] }),
  },
}));

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...layerRules,
    {
      name: "every-file-has-a-layer",
      comment: "Add a new folder to the layers above.",
      severity: "error",
      from: { path: "^src/", pathNot: Object.values(layers) },
      to: {},
    },
    {
      name: "no-cycles",
      comment: "Files that import each other cannot be understood one at a time.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "openapi-serves-any-contract",
      comment: "It knows no operation, no database and no log.",
      severity: "error",
      from: { path: layers.openapi },
      to: {
        path: "^src/",
        pathNot: "^src/(openapi|http|problems|lib)/|^src/(requestContext|principal|identifiers|networks|errors)\\.ts$",
      },
    },
    {
      name: "domain-is-plain-functions",
      comment: "The rules of a domain folder use no Express, no SQL and no log, not even their types.",
      severity: "error",
      from: {
        path: layers.domain,
        pathNot: "/(store|handlers)\\.ts$|^src/(revocations/revoke|audit/recordEvent)\\.ts$",
      },
      to: { path: "node_modules/(express|knex|pg|pino|@types/express)|^src/(database|observability)/" },
    },
    {
      name: "handlers-map-the-contract-only",
      comment: "A handler maps the contract to the domain. Queries belong in store.ts, Express in openapi/.",
      severity: "error",
      from: { path: "/handlers\\.ts$" },
      to: { path: "node_modules/(express|knex|pg)/|^src/database/|/store\\.ts$" },
    },
    {
      name: "stores-are-injected",
      comment: "Only the start, the commands and other stores know that the domain is stored in Postgres.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(start|cli)/|/store\\.ts$" },
      to: { path: "/store\\.ts$" },
    },
    {
      name: "client-stands-alone",
      comment: "The client runs in browsers: it imports nothing of the service and nothing of Node.",
      severity: "error",
      from: { path: "^packages/client/src/" },
      to: { pathNot: "^packages/client/src/|node_modules/(openapi-fetch|openapi-typescript-helpers)/" },
    },
    {
      name: "verifier-stands-alone",
      comment: "It is published as a package of its own, and imports nothing of the service.",
      severity: "error",
      from: { path: "^packages/verify/src/" },
      to: { path: "^(src|generated|scripts|test)/" },
    },
    {
      name: "service-does-not-use-the-client",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^packages/client/" },
    },
    {
      name: "no-development-dependencies-in-the-program",
      comment: "They are not installed in production.",
      severity: "error",
      from: { path: "^(src|generated)/" },
      to: { dependencyTypes: ["npm-dev"], pathNot: "node_modules/@types/" },
    },
    {
      name: "every-import-resolves",
      severity: "error",
      from: { pathNot: "^bench/" }, // its packages are installed by `npm run bench`
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    exclude: { path: "^test/fixtures/|^packages/[^/]+/dist/" }, // they import the package as its users do
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
