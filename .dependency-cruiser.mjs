/** The direction of imports, as a rule: `npm run lint` fails where a file looks upwards. */
const noun = "^src/(users|passwords|tokens|revocations|sessions|resource|throttling|audit|unicode)/";

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "no-circles",
      comment: "What depends on itself cannot be understood one file at a time.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "domain-knows-no-web-and-no-sql",
      comment: "What a noun means is said in plain functions: no Express, no Knex, not even their types.",
      severity: "error",
      from: { path: noun, pathNot: "/(store|handlers)\\.ts$" },
      to: {
        path: "node_modules/(express|knex|pg|pino|@types/express)|^src/(database|documentation|observability|health)/",
      },
    },
    {
      name: "handlers-know-no-sql-and-no-web",
      comment: "A handler maps the contract to the domain. Queries are in store.ts, Express is in openapi/.",
      severity: "error",
      from: { path: "/handlers\\.ts$" },
      to: { path: "node_modules/(express|knex|pg)/|^src/database/|/store\\.ts$" },
    },
    {
      name: "stores-are-wired-in-one-place",
      comment: "Only the wiring knows that a noun is kept in Postgres.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(start\\.ts$|cli/)" },
      to: { path: "/store\\.ts$" },
    },
    {
      name: "contract-knows-no-noun",
      comment: "The binding serves any contract.",
      severity: "error",
      from: { path: "^src/openapi/" },
      to: {
        path: "^src/",
        pathNot: "^src/(openapi|http|problems|lib)/|^src/(requestContext|principal|networks)\\.ts$",
      },
    },
    {
      name: "nothing-looks-up-to-the-wiring",
      comment: "The command line in cli/, then start.ts, then the rest.",
      severity: "error",
      from: { path: "^src/.+/", pathNot: "^src/(cli/|process/workers\\.ts$)" },
      to: { path: "^src/[^/]+\\.ts$", pathNot: "^src/(requestContext|principal|networks)\\.ts$" },
    },
    {
      name: "main-is-the-top",
      comment: "Nothing imports the command line, and only it, the workers' primary and tests start a service.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(main\\.ts$|process/workers\\.ts$|cli/)" },
      to: { path: "^src/(main|start|process/workers)\\.ts$|^src/cli/" },
    },
    {
      name: "client-stands-alone",
      comment: "It runs in browsers: nothing of the service, nothing of Node.",
      severity: "error",
      from: { path: "^src/client/" },
      to: { pathNot: "^src/client/|^generated/|node_modules/(openapi-fetch|openapi-typescript-helpers)/" },
    },
    {
      name: "service-knows-no-client",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/client/" },
      to: { path: "^src/client/" },
    },
    {
      name: "no-development-tools-in-the-program",
      comment: "It would not be there once installed for production.",
      severity: "error",
      from: { path: "^(src|generated)/" },
      to: { dependencyTypes: ["npm-dev"], pathNot: "node_modules/@types/" },
    },
    {
      name: "no-import-that-leads-nowhere",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    // What the package looks like to others is no part of the program.
    exclude: { path: "^test/fixtures/" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
