import { sessionId, userId, username } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { bytea, double, integer, timestamptz } from "../../database/sqlTypes.ts";
import type { BrowserSessionStore } from "./storeTypes.ts";

/** What ends all tokens of a user, or blocks the user, raises the epoch of the user. */
const live = `is_browser AND ended_at IS NULL AND least(idle_expires_at, expires_at) > now()
      AND users.id = user_id AND token_epoch = user_epoch`;

const findBrowserSession = statement({
  name: "find-browser-session",
  sql: `SELECT sessions.id, user_id AS "userId", username, token_epoch AS epoch,
           coalesce(authenticated_at, sessions.created_at) AS "authenticatedAt",
           extract(epoch FROM now() - last_used_at)::float8 AS "secondsSinceUse"
    FROM sessions, users
    WHERE sessions.id = :id AND refresh_digest = :digest AND ${live}`,
  parameters: { id: sessionId, digest: bytea },
  columns: {
    id: sessionId,
    userId,
    username,
    epoch: integer,
    authenticatedAt: timestamptz,
    secondsSinceUse: double,
  },
});

const renewBrowserSession = statement({
  name: "renew-browser-session",
  sql: `UPDATE sessions
    SET last_used_at = now(), listed_used_at = now(), idle_expires_at = now() + make_interval(secs => :idle),
        listed_idle_expires_at = now() + make_interval(secs => :idle)
    FROM users
    WHERE sessions.id = :id AND ${live}`,
  parameters: { idle: integer, id: sessionId },
});

export const browserSessionStore = (database: Database): BrowserSessionStore => ({
  find: (id, digest) => database.read((knex) => findBrowserSession.first(knex, { id, digest })),
  async renew(id, idle) {
    await database.write((knex) => renewBrowserSession.count(knex, { id, idle }));
  },
});
