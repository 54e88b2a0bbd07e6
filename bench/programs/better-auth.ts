/**
 * better-auth as its documentation sets it up with Express and Postgres: e-mail and password, and the bearer plugin,
 * so that a client without cookies can use it. Its limit of requests is off, as Latchkey's is here.
 */
import { hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { bearer } from "better-auth/plugins";
import express from "express";
import pg from "pg";

const port = Number(process.env["PORT"]);
const options = {
  baseURL: `http://127.0.0.1:${port}`,
  secret: "a secret of the benchmark, long enough: 0123456789",
  database: new pg.Pool({ connectionString: process.env["DATABASE_URL"] }),
  emailAndPassword: {
    enabled: true,
    // Otherwise its own scrypt: N=16384, r=16, p=1.
    ...(process.env["HASH"] === "argon2" && {
      password: {
        hash: (password: string) => hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 }),
        verify: ({ hash, password }: { hash: string; password: string }) => verify(hash, password),
      },
    }),
  },
  // A signed copy of the session in a cookie, which is believed for a while without a query.
  ...(process.env["COOKIE_CACHE"] === "on" && { session: { cookieCache: { enabled: true, maxAge: 3600 } } }),
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [bearer()],
};

const { runMigrations } = await getMigrations(options);
await runMigrations();

const app = express();
app.all("/api/auth/*splat", toNodeHandler(betterAuth(options)));
app.listen(port, "127.0.0.1");
