/** A ceiling: what Node itself can do, with nobody asked who they are. */
import { createServer } from "node:http";

createServer((_request, response) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ data: "Hello, miguel!" }));
}).listen(Number(process.env["PORT"]), "127.0.0.1");
