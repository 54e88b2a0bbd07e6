/** The service is killed during writes: everything acknowledged was committed. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { findRunningPostgres } from "../../src/database/embedded/postgres.ts";
import { type Client, createClient } from "../support/client.ts";
import { createLedger, type Ledger } from "../support/ledger.ts";
import { expectWithinBounds, recording, report, startLoad } from "../support/load.ts";
import { type Program, runProgram, serveOn } from "../support/process.ts";
import { createDatabase } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

/** Kills and restarts the service several times. @returns the last service, and all acknowledged writes */
async function killAmidWrites(kills: number, serve: () => Program): Promise<{ client: Client; ledger: Ledger }> {
  let program = serve();
  let client = createClient(await program.url);
  const { send, outcomes } = recording((...request) => client(...request)); // the current service
  const ledger = await createLedger(send);
  const { register, changePassword, revoke, refresh, beginSession } = ledger;
  const stop = startLoad(30, [register, changePassword, register, revoke, refresh, beginSession]);
  for (let kill = 0; kill < kills; kill += 1) {
    await sleep(600 + 50 * (kill % 10)); // at a different moment each time
    program.process.kill("SIGKILL");
    expect(await program.exit).toBe("SIGKILL");
    program = serve();
    client = createClient(await program.url);
  }
  await sleep(1_000);
  await stop();
  report(outcomes);
  expectWithinBounds(outcomes.filter(({ error = "" }) => !/ECONN(REFUSED|RESET)|socket hang up/.test(error)));
  return { client, ledger };
}

test("killed ten times: each acknowledged write is kept", async () => {
  const databaseUrl = await createDatabase();
  const { client, ledger } = await killAmidWrites(10, () => serveOn(databaseUrl));
  await ledger.expectKept(client, databaseUrl);
});

test("killed twice with its embedded Postgres: the same", async () => {
  const DATA_DIR = join(await temporaryFolder(0o755), "data");
  const { client, ledger } = await killAmidWrites(2, () => runProgram([], { DATA_DIR, THROTTLE: "off" }));
  await ledger.expectKept(client, (await findRunningPostgres(DATA_DIR)) ?? {});
});
