/** HAProxy and PgBouncer in front of a cluster, with the files of deploy/. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, untilListening } from "../ports.ts";
import { query } from "../service.ts";
import { type Cluster, substitute, superuserPassword } from "./cluster.ts";
import { startDaemon } from "./daemons.ts";

/**
 * Starts HAProxy.
 * @param closesConnections keeps `on-marked-down shutdown-sessions` of the file
 * @returns the port of the primary
 */
export async function startHaproxy(cluster: Cluster, name: string, closesConnections = true): Promise<number> {
  const port = await freePort();
  const nodes = cluster.nodes.map(({ name, postgresPort, restPort }, index): [string, string] => [
    `server ${name} 10.0.0.1${index + 1}:5432 check port 8008`,
    `server ${name} 127.0.0.1:${postgresPort} check port ${restPort}`,
  ]);
  const file = substitute(await readFile("deploy/ha/haproxy.cfg", "utf8"), {
    "bind 127.0.0.1:5000": `bind 127.0.0.1:${port}`,
    ...Object.fromEntries(nodes),
    ...(!closesConnections && { " on-marked-down shutdown-sessions": "" }),
  });
  const configuration = join(cluster.folder, `${name}.cfg`);
  await writeFile(configuration, file);
  startDaemon(name, "haproxy", ["-db", "-f", configuration], cluster.folder);
  await untilListening(port);
  // Until its first checks have failed, HAProxy takes every server for the primary.
  for (let inARow = 0; inARow < 2 * cluster.nodes.length; ) {
    const url = `postgres://postgres:${superuserPassword}@127.0.0.1:${port}/postgres`;
    const [row] = await query(url, "SELECT pg_is_in_recovery() AS standby").catch(() => []);
    inARow = row?.["standby"] === false ? inARow + 1 : 0;
    await sleep(50);
  }
  return port;
}

/** Starts PgBouncer in front of HAProxy. Returns its port. */
export async function startPgbouncer(
  cluster: Cluster,
  haproxyPort: number,
  [role, password]: [string, string],
): Promise<number> {
  const port = await freePort();
  const users = join(cluster.folder, "userlist.txt");
  await writeFile(users, `"${role}" "${password}"\n`);
  const file = substitute(await readFile("deploy/pgbouncer.ini", "utf8"), {
    "host=postgres port=5432": `host=127.0.0.1 port=${haproxyPort}`,
    "listen_port = 6432": `listen_port = ${port}`,
    "/etc/pgbouncer/userlist.txt": users,
    "logfile = /var/log/postgresql/pgbouncer.log\n": "",
    "/var/run/postgresql": cluster.folder,
  });
  const configuration = join(cluster.folder, "pgbouncer.ini");
  await writeFile(configuration, file);
  startDaemon("pgbouncer", "pgbouncer", [configuration], cluster.folder);
  await untilListening(port);
  return port;
}
