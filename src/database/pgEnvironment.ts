/**
 * Removes the environment variables that `pg` reads.
 *
 * Only DATABASE_URL configures the connection. PGOPTIONS, PGREPLICATION, PGPASSWORD and others, set for psql or by a hosting
 * platform, would change connections silently. PGSSLMODE stays, so that the settings can reject it. Connections ignore it.
 */
// biome-ignore lint/style/noProcessEnv: it is changed here
for (const name of Object.keys(process.env)) {
  // biome-ignore lint/style/noProcessEnv: it is changed here
  if (/^PG(?!SSLMODE$)|^NODE_PG_FORCE_NATIVE$/.test(name)) delete process.env[name];
}
