/** A ceiling: what Express can do, with nobody asked who they are. */
import express from "express";

const app = express();
app.get("/api/resource", (_request, response) => {
  response.json({ data: "Hello, miguel!" });
});
app.listen(Number(process.env["PORT"]), "127.0.0.1");
