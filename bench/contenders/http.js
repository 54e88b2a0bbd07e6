/** The ceiling: what Node itself does with a request that nobody checks. */
import { createServer } from "node:http";

const body = JSON.stringify({ data: "Hello, miguel!" });

createServer((_request, response) => {
  response.setHeader("Content-Type", "application/json; charset=utf-8");
  response.setHeader("Content-Length", Buffer.byteLength(body));
  response.end(body);
}).listen(Number(process.env.PORT), "127.0.0.1");
