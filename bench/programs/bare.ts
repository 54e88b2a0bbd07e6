/**
 * The ceilings of one Node.js process: sign-ins and refreshes with nothing but node:http, one statement with pg, the hash, and
 * one signature with jose. It validates, counts, derives and logs nothing. `LEAVE_OUT` makes it do even less.
 *
 * The sessions are those in the database before the start. A refresh token is the number of a session and its generation.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { verify } from "@node-rs/argon2";
import { generateKeyPair, SignJWT } from "jose";
import pLimit from "p-limit";
import pg from "pg";
import { rotateSession } from "../../src/sessions/store.ts";

const leftOut = process.env["LEAVE_OUT"] ?? "";
const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"], max: 10 });
const { privateKey } = await generateKeyPair("ES256");
const limitHashes = pLimit(2);
const user = { id: "00000000-0000-7000-8000-000000000000", username: "filled0" };

async function signIn(authorization = "") {
  const [, password = ""] = Buffer.from(authorization.slice("Basic ".length), "base64").toString().split(":");
  const { rows } = await pool.query({
    name: "sign-in",
    text: "SELECT id, username, password_hash FROM users WHERE username = $1",
    values: [user.username],
  });
  if (!(await limitHashes(() => verify(rows[0].password_hash, password)))) throw new Error("wrong password");
  return { token: await accessToken(rows[0]) };
}

async function refresh(token: string) {
  const [session = "", generation = ""] = token.split(".");
  const refresh_token = `${session}.${Number(generation) + 1}`;
  const owner = leftOut.includes("sql") ? user : await rotate(session, Number(generation));
  return { refresh_token, access_token: leftOut.includes("signature") ? "" : await accessToken(owner) };
}

async function rotate(session: string, generation: number): Promise<typeof user> {
  const digest = createHash("sha256").update(session).digest(); // as filled, and the same for each generation
  const values: Record<keyof typeof rotateSession.parameters, unknown> = {
    nextDigest: digest,
    address: "127.0.0.1",
    network: "127.0.0.1",
    idle: 1_209_600,
    tokens: 900,
    id: `00000000-0000-7000-8000-${session.padStart(12, "0")}`,
    generation,
    digest,
  };
  const order = Object.keys(rotateSession.parameters) as (keyof typeof values)[];
  const { rows } = await pool.query({
    name: "refresh",
    text: rotateSession.text,
    values: order.map((name) => values[name]),
  });
  if (!rows[0]) throw new Error("the session expects another token");
  return { id: rows[0].userId, username: rows[0].username };
}

const accessToken = ({ id, username }: typeof user) =>
  new SignJWT({ username })
    .setProtectedHeader({ alg: "ES256", typ: "at+jwt" })
    .setSubject(id)
    .setIssuedAt()
    .setExpirationTime("15m")
    .sign(privateKey);

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (text: string) => {
      body += text;
    });
    request.on("end", () => resolve(body));
  });
}

function respond(response: ServerResponse, body: unknown): void {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(body));
}

let created = 0;
createServer((request, response) => {
  if (request.method === "GET" && request.url === "/readyz") return respond(response, {});
  if (request.method === "GET") void signIn(request.headers.authorization).then((token) => respond(response, token));
  else if (request.url === "/api/sessions") respond(response, { refresh_token: `${created++}.0` });
  else
    void readBody(request)
      .then((body) => refresh(JSON.parse(body).refresh_token))
      .then((tokens) => respond(response, tokens));
}).listen(Number(process.env["PORT"]), "127.0.0.1");
