/** The first passwords after a start wait for the dictionaries, however long loading takes. */
import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { createClient } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";

const busy = "const end = Date.now() + 8_000; while (Date.now() < end);";

test("six users register at once on a busy machine, right after a start", async () => {
  const DATABASE_URL = await createDatabase();
  const send = createClient(await runProgram([], { DATABASE_URL, SECRET_KEY: secretKey, PORT: "0" }).url);
  for (let count = 0; count < 2; count += 1) {
    const child = spawn(process.execPath, ["-e", busy], { stdio: "ignore" });
    afterTest(() => void child.kill());
  }
  const names = ["anna", "berta", "clara", "dora", "emma", "frida"];
  const answers = await Promise.all(
    names.map((username) => send("POST", "/api/users", { json: { username, password } })),
  );
  expect(answers.map(({ status, problem }) => problem ?? status)).toEqual(names.map(() => 201));
});
