/** Three Postgres nodes under Patroni, with etcd: the files of deploy/ha/ with other addresses, ports and folders. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterTest } from "../afterTest.ts";
import { freePorts } from "../ports.ts";
import {
  type Daemon,
  giveAway,
  isAlive,
  killDaemon,
  makeFolder,
  runCommand,
  signalAll,
  spawnDaemon,
  startDaemon,
} from "./daemons.ts";
import { createNetwork, type Network } from "./network.ts";

export const superuserPassword = "CHANGE-ME-superuser";

export type Node = {
  name: string;
  /** The port at which the other nodes reach it, through a relay that can be cut. */
  postgresPort: number;
  restPort: number;
  /** Starts Patroni, as a supervisor does. */
  start(): void;
  /** Sends SIGKILL to Patroni and the postmaster. */
  kill(): Promise<void>;
  /** Sends SIGSTOP to the processes of Patroni, or to those of Postgres as well. */
  freeze(what: "patroni" | "all"): void;
  thaw(): void;
};

type Member = { name: string; role: string; state: string; lag?: number | string };

/** What the Patroni of a node says about its own Postgres. */
type Status = { role: string; state: string; replication?: { state: string; sync_state: string }[] };

export type Cluster = {
  folder: string;
  nodes: Node[];
  network: Network;
  /** The etcd process. */
  etcd: Daemon;
  /** The members, as Patroni reports them. */
  members(): Promise<Member[]>;
  primary(): Promise<Node>;
  synchronousStandby(): Promise<Node>;
  /** Waits for a primary, a synchronous standby and a replica. */
  untilComplete(): Promise<void>;
  /** The last lines of the logs of etcd and of each node. */
  logTails(lines?: number): string;
  /** Runs `patronictl` with these arguments. */
  patronictl(...args: string[]): Promise<string>;
};

/** Replaces texts of a file, each of which must exist. */
export function substitute(text: string, replacements: Record<string, string>): string {
  return Object.entries(replacements).reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`There is no "${from}" to be replaced.`);
    return result.replaceAll(from, to);
  }, text);
}

/** @param settings replacements in patroni.yml */
export async function startCluster(settings: Record<string, string> = {}): Promise<Cluster> {
  const folder = await makeFolder();
  const names = ["node1", "node2", "node3"];
  const [etcdPort = 0, peerPort = 0, ...ports] = await freePorts(8);
  const daemons = new Map<string, Daemon>();
  const postmasterOf = (name: string): number => {
    try {
      return Number.parseInt(readFileSync(join(folder, name, "data", "postmaster.pid"), "utf8"), 10);
    } catch {
      return 0;
    }
  };
  const postgresOf = (name: string): number[] => {
    const postmaster = postmasterOf(name);
    return postmaster > 0 && isAlive(postmaster) ? [postmaster, ...childrenOf(postmaster)] : [];
  };
  const patroniOf = (name: string): number[] => {
    const pid = daemons.get(name)?.pid ?? 0;
    return pid > 0 && isAlive(pid) ? [pid, ...childrenOf(pid)] : [];
  };
  const network = createNetwork(names, (name) => [...patroniOf(name), ...postgresOf(name)]);

  const etcdRelay = await network.relay(etcdPort);
  const etcdFile = substitute(await readFile("deploy/ha/etcd.conf.yml", "utf8"), {
    "/var/lib/etcd/latchkey": join(folder, "etcd"),
    ",node2=http://10.0.0.12:2380,node3=http://10.0.0.13:2380": "",
    "listen-client-urls: http://10.0.0.11:2379": `listen-client-urls: http://127.0.0.1:${etcdPort}`,
    "advertise-client-urls: http://10.0.0.11:2379": `advertise-client-urls: http://127.0.0.1:${etcdRelay}`,
    "10.0.0.11:2380": `127.0.0.1:${peerPort}`,
  });
  await writeFile(join(folder, "etcd.conf.yml"), etcdFile);
  // Registered before the daemons, so that it runs after they have ended.
  afterTest(async () => {
    const postgres = names.map(postmasterOf).filter((pid) => pid > 0 && isAlive(pid));
    signalAll(postgres, "SIGCONT");
    signalAll(postgres, "SIGQUIT");
    while (postgres.some(isAlive)) await sleep(50);
  });
  // Not when the test ends that starts one again: the next test needs it.
  afterTest(async () => void (await Promise.all([...daemons.values()].map(killDaemon))));
  const etcd = startDaemon("etcd", "etcd", ["--config-file", join(folder, "etcd.conf.yml")], folder);

  const patroniFile = substitute(await readFile("deploy/ha/patroni.yml", "utf8"), settings);
  const nodes = await Promise.all(
    names.map(async (name, index): Promise<Node> => {
      const [postgresPort = 0, restPort = 0] = ports.slice(2 * index);
      const postgresRelay = await network.relay(postgresPort, name);
      const restRelay = await network.relay(restPort, name);
      const home = join(folder, name);
      mkdirSync(home, { mode: 0o700 });
      await giveAway(home);
      const file = substitute(patroniFile, {
        "name: node1 # NODE": `name: ${name}`,
        "connect_address: 10.0.0.11:8008": `connect_address: 127.0.0.1:${restRelay}`,
        "listen: 10.0.0.11:8008": `listen: 127.0.0.1:${restPort}`,
        "connect_address: 10.0.0.11:5432": `connect_address: 127.0.0.1:${postgresRelay}`,
        "listen: 10.0.0.11:5432": `listen: 127.0.0.1:${postgresPort}`,
        "10.0.0.11:2379, 10.0.0.12:2379, 10.0.0.13:2379": `127.0.0.1:${etcdRelay}`,
        "10.0.0.0/24": "127.0.0.0/8",
        "/var/lib/postgresql/15/latchkey": join(home, "data"),
        "/var/lib/postgresql/latchkey.pgpass": join(home, "pgpass"),
        "/var/run/postgresql": home,
        "/usr/lib/postgresql/15/bin": newestPostgres(),
        // Never the watchdog of the machine that runs the test.
        "mode: automatic": "mode: off",
      });
      const configuration = join(folder, `${name}.yml`);
      await writeFile(configuration, file);
      let frozen: number[] = [];
      return {
        name,
        postgresPort: postgresRelay,
        restPort: restRelay,
        start: () => void daemons.set(name, spawnDaemon(name, "patroni", [configuration], folder)),
        async kill() {
          signalAll([...patroniOf(name), postmasterOf(name)], "SIGKILL");
          await daemons.get(name)?.ended;
        },
        freeze(what) {
          frozen = what === "all" ? [...patroniOf(name), ...postgresOf(name)] : patroniOf(name);
          signalAll(frozen, "SIGSTOP");
        },
        thaw: () => signalAll(frozen.splice(0), "SIGCONT"),
      };
    }),
  );
  /** @returns `undefined` if the Patroni of the node does not respond */
  const askPatroni = async <T>({ restPort }: Node, path: string): Promise<T | undefined> => {
    try {
      const response = await fetch(`http://127.0.0.1:${restPort}${path}`, { signal: AbortSignal.timeout(2_000) });
      return response.ok ? ((await response.json()) as T) : undefined;
    } catch {
      return undefined;
    }
  };
  const logOf = (name: string): string => readFileSync(join(folder, `${name}.log`), "utf8");
  const members = async (): Promise<Member[]> => {
    for (const node of nodes) {
      const cluster = await askPatroni<{ members: Member[] }>(node, "/cluster");
      if (cluster) return cluster.members;
    }
    return [];
  };
  const areMembersComplete = (found: Member[]): boolean =>
    found
      .map(({ role }) => role)
      .sort()
      .join() === "leader,replica,sync_standby" &&
    found.every(({ state, lag = 0 }) => /^(running|streaming)$/.test(state) && lag === 0);
  /**
   * Whether the standbys follow the primary. The list of members does not show it. There, every node but the leader is a replica: also an
   * old primary that Patroni has not stopped yet, and a standby that has to be rewound.
   */
  const areStandbysStreaming = (statuses: (Status | undefined)[]): boolean => {
    const primaries = statuses.filter((status) => status && /^(master|primary)$/.test(status.role));
    const senders = primaries.length === 1 ? (primaries[0]?.replication ?? []) : [];
    return (
      statuses.every((status) => status?.state === "running") &&
      senders.every(({ state }) => state === "streaming") &&
      senders
        .map((sender) => sender.sync_state)
        .sort()
        .join() === "async,sync"
    );
  };
  const nodeWith = async (role: string): Promise<Node> => {
    const name = (await members()).find((member) => member.role === role)?.name;
    const node = nodes.find((node) => node.name === name);
    if (!node) throw new Error(`There is no ${role}.`);
    return node;
  };
  const logTails = (lines = 12): string =>
    ["etcd", ...names].map((name) => `${name}: ${logOf(name).split("\n").slice(-lines).join("\n")}`).join("\n");
  const cluster: Cluster = {
    folder,
    nodes,
    network,
    etcd,
    members,
    primary: () => nodeWith("leader"),
    synchronousStandby: () => nodeWith("sync_standby"),
    logTails,
    async untilComplete() {
      const deadline = Date.now() + 180_000;
      for (;;) {
        const found = await members();
        const statuses = await Promise.all(nodes.map((node) => askPatroni<Status>(node, "/patroni")));
        if (areMembersComplete(found) && areStandbysStreaming(statuses)) return;
        if (Date.now() > deadline) {
          throw new Error(`The cluster is not complete: ${JSON.stringify({ found, statuses })}\n${logTails()}`);
        }
        await sleep(200);
      }
    },
    patronictl: (...args) => runCommand("patronictl", ["-c", join(folder, "node1.yml"), ...args], folder),
  };
  for (const node of nodes) node.start();
  await cluster.untilComplete();
  return cluster;
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function newestPostgres(): string {
  const versions = readdirSync("/usr/lib/postgresql")
    .map(Number)
    .sort((a, b) => b - a);
  return `/usr/lib/postgresql/${versions[0]}/bin`;
}
