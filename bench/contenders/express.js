/** The lower ceiling: Express as its documentation begins, which checks nothing either. */
import express from "express";

const app = express();
app.get("/api/resource", (_request, response) => {
  response.json({ data: "Hello, miguel!" });
});
app.listen(Number(process.env.PORT), "127.0.0.1");
