/** Every command. Each one is a file of this folder, which is loaded only when the command runs. */
import type { Define, ServiceCommand } from "./arguments.ts";

type Entry = {
  /** For `latchkey --help`. */
  summary: string;
  examples: readonly string[];
  /** The file descriptor of the log. A command that prints a result logs to standard error. */
  logTo: 1 | 2;
  /** Whether misspelled settings are logged. A worker has the environment of its primary. */
  checksSpelling: boolean;
  isHidden?: true;
};

/** A command that serves starts without the library for commands: it has no options. */
export type ServiceEntry = Entry & { operands: number; load(): Promise<ServiceCommand> };
export type ToolEntry = Entry & { define(): Promise<Define> };
export type CommandEntry = ServiceEntry | ToolEntry;

const service = { logTo: 1, checksSpelling: true, operands: 0 } as const;
const tool = { logTo: 2, checksSpelling: false } as const;

const signingKeys: ToolEntry = {
  ...tool,
  summary: "List, rotate and revoke the keys that sign tokens (formerly keys).",
  examples: ["signing-keys list", "signing-keys rotate"],
  define: async () => (await import("./signingKeys.ts")).defineSigningKeys,
};

const entries: Record<string, CommandEntry> = {
  serve: {
    ...service,
    summary: "Apply missing migrations, then serve (the default).",
    examples: ["serve"],
    load: async () => (await import("./serve.ts")).serve,
  },
  worker: {
    ...service,
    operands: 1,
    checksSpelling: false,
    isHidden: true,
    summary: "Serve as one of WORKERS.",
    examples: [],
    load: async () => (await import("./worker.ts")).worker,
  },
  migrate: {
    ...service,
    summary: "Apply missing migrations.",
    examples: ["migrate"],
    load: async () => (await import("./migrate.ts")).migrate,
  },
  users: {
    ...tool,
    summary: "Create, list, block and delete users; passwords and roles; import and export.",
    examples: ["users list --prefix mi", "users create susan --role administrator", "users block miguel"],
    define: async () => (await import("./users.ts")).defineUsers,
  },
  sessions: {
    ...tool,
    summary: "List sessions, and end one, those of a user, or all.",
    examples: ["sessions list --user miguel", "sessions end --user miguel"],
    define: async () => (await import("./sessions.ts")).defineSessions,
  },
  roles: {
    ...tool,
    summary: "List, set and delete roles, which are sets of scopes.",
    examples: ["roles list", "roles set support users:read"],
    define: async () => (await import("./roles.ts")).defineRoles,
  },
  apis: {
    ...tool,
    summary: "Register the APIs of other services, for which users get tokens.",
    examples: ["apis list"],
    define: async () => (await import("./apis.ts")).defineApis,
  },
  "api-keys": {
    ...tool,
    summary: "Create, list, rotate and revoke the API keys of users.",
    examples: ["api-keys list --user miguel"],
    define: async () => (await import("./apiKeys.ts")).defineApiKeys,
  },
  clients: {
    ...tool,
    summary: "Register the clients of OAuth, and rotate their secrets.",
    examples: ["clients list", 'clients create "Nightly report" --grant client_credentials --scope users:read'],
    define: async () => (await import("./clients.ts")).defineClients,
  },
  audit: {
    ...tool,
    summary: "List audit events, newest first.",
    examples: [],
    define: async () => (await import("./audit.ts")).defineAudit,
  },
  "signing-keys": signingKeys,
  keys: { ...signingKeys, isHidden: true },
  probe: {
    ...tool,
    summary: "Ask a protected service as an attacker would, and print what gets through.",
    examples: [],
    define: async () => (await import("./probe.ts")).defineProbe,
  },
  restore: {
    ...tool,
    summary: "Revoke again what was revoked since the backup, after a backup was restored.",
    examples: ["restore --audit-log latchkey.log", "restore --end-passwords"],
    define: async () => (await import("./restore.ts")).defineRestore,
  },
};

export const commands: ReadonlyMap<string, CommandEntry> = new Map(Object.entries(entries));

export const isService = (entry: CommandEntry): entry is ServiceEntry => "operands" in entry;
