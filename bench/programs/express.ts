/** The ceiling of Express: the response of a token check, without authentication. */
import express from "express";

const app = express();
app.get("/api/resource", (_request, response) => {
  response.json({ data: "Hello, miguel!" });
});
app.listen(Number(process.env["PORT"]), "127.0.0.1");
