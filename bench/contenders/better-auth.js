/**
 * better-auth on Postgres as its documentation has it for Express: sessions in the database, the bearer plugin, and the
 * hash of all the others in place of its own scrypt. Its rate limit is off, as is Latchkey's.
 */
import { hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { fromNodeHeaders, toNodeHandler } from "better-auth/node";
import { bearer } from "better-auth/plugins";
import express from "express";
import pg from "pg";
import { argon2 } from "../argon2.js";

const auth = betterAuth({
  baseURL: `http://127.0.0.1:${process.env.PORT}`,
  secret: "a secret for the benchmark alone: 0123456789",
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 }),
  emailAndPassword: {
    enabled: true,
    password: {
      hash: (password) => hash(password, argon2),
      verify: ({ hash: stored, password }) => verify(stored, password),
    },
  },
  plugins: [bearer()],
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
});
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();

const app = express();
app.all("/api/auth/*splat", toNodeHandler(auth));
app.get("/api/resource", async (request, response) => {
  const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
  if (!session) return void response.status(401).end();
  response.json({ data: `Hello, ${session.user.name}!` });
});
app.listen(Number(process.env.PORT), "127.0.0.1");
