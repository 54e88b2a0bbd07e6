/**
 * What many build by hand: express-jwt with a shared secret (HS256) for tokens and passport-http for passwords, over a
 * table of users with argon2 hashes. Tokens cannot be revoked, and nothing is validated.
 */
import { hash, verify } from "@node-rs/argon2";
import express from "express";
import { expressjwt } from "express-jwt";
import jwt from "jsonwebtoken";
import passport from "passport";
import { BasicStrategy } from "passport-http";
import pg from "pg";
import { argon2 } from "../argon2.js";

const secret = "a secret for the benchmark alone: 0123456789";
const database = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
await database.query(
  "CREATE TABLE IF NOT EXISTS users (id serial PRIMARY KEY, username text UNIQUE NOT NULL, password_hash text NOT NULL)",
);

passport.use(
  new BasicStrategy((username, password, done) => {
    database
      .query("SELECT id, username, password_hash FROM users WHERE username = $1", [username])
      .then(async ({ rows: [user] }) => done(null, user && (await verify(user.password_hash, password)) ? user : false))
      .catch(done);
  }),
);

const app = express();
app.post("/api/users", express.json(), async (request, response) => {
  const { username, password } = request.body;
  const passwordHash = await hash(password, argon2);
  const { rows } = await database.query(
    "INSERT INTO users (username, password_hash) VALUES ($1, $2) RETURNING id, username",
    [username, passwordHash],
  );
  response.status(201).json(rows[0]);
});
app.get("/api/token", passport.authenticate("basic", { session: false }), (request, response) => {
  const { id, username } = request.user;
  response.json({ token: jwt.sign({ sub: String(id), username }, secret, { expiresIn: 600 }) });
});
app.get("/api/resource", expressjwt({ secret, algorithms: ["HS256"] }), (request, response) => {
  response.json({ data: `Hello, ${request.auth.username}!` });
});
app.listen(Number(process.env.PORT), "127.0.0.1");
