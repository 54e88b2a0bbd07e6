/**
 * What somebody would put together: express-jwt checks tokens, passport-http checks passwords against a table of
 * users, argon2 hashes them at Latchkey's cost. Nothing can be revoked, and nobody counts wrong passwords.
 */
import { randomUUID } from "node:crypto";
import { hash, verify } from "@node-rs/argon2";
import express from "express";
import { expressjwt, type Request } from "express-jwt";
import jwt from "jsonwebtoken";
import passport from "passport";
import { BasicStrategy } from "passport-http";
import pg from "pg";

const secret = "a secret of the benchmark, long enough: 0123456789";
const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"] });
await pool.query(
  "CREATE TABLE IF NOT EXISTS users (id uuid PRIMARY KEY, username text NOT NULL UNIQUE, password_hash text NOT NULL)",
);

passport.use(
  new BasicStrategy((username, password, done) => {
    check(username, password).then((user) => done(null, user), done);
  }),
);

async function check(username: string, password: string): Promise<Express.User | false> {
  const { rows } = await pool.query("SELECT id, username, password_hash FROM users WHERE username = $1", [username]);
  const isRight = rows[0] !== undefined && (await verify(rows[0].password_hash, password));
  return isRight && { id: rows[0].id, username: rows[0].username };
}

const app = express();
app.get("/api/resource", expressjwt({ secret, algorithms: ["HS256"] }), (request: Request, response) => {
  response.json({ data: `Hello, ${request.auth?.["username"]}!` });
});
app.get("/api/token", passport.authenticate("basic", { session: false }), (request, response) => {
  const { id, username } = request.user as { id: string; username: string };
  const token = jwt.sign({ username }, secret, { subject: id, expiresIn: "1d" });
  response.json({ token });
});
app.post("/api/users", express.json(), async (request, response) => {
  const { username, password } = request.body;
  const passwordHash = await hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
  const id = randomUUID();
  await pool.query("INSERT INTO users (id, username, password_hash) VALUES ($1, $2, $3)", [id, username, passwordHash]);
  response.status(201).json({ id, username });
});
app.listen(Number(process.env["PORT"]), "127.0.0.1");
