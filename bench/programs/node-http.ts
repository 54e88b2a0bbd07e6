/** The ceiling of Node.js: the response of a token check, without authentication. */
import { createServer } from "node:http";

createServer((_request, response) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ data: "Hello, miguel!" }));
}).listen(Number(process.env["PORT"]), "127.0.0.1");
