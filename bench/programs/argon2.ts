/**
 * The ceiling of sign-ins: a node:http server that verifies one password per request, as many at a time as Latchkey, and
 * does nothing else. It gets the same requests from the same load generator.
 */
import { createServer } from "node:http";
import { hash, verify } from "@node-rs/argon2";
import pLimit from "p-limit";

const limit = pLimit(2);
const password = "correct horse battery";
const stored = await hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });

createServer((_request, response) => {
  void limit(() => verify(stored, password)).then((matches) => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ matches }));
  });
}).listen(Number(process.env["PORT"]), "127.0.0.1");
