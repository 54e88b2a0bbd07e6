/**
 * Removes the environment variables that `pg` reads. Imported before `pg`, which reads some of them as it loads.
 *
 * DATABASE_URL alone says where the database is and how to connect. Otherwise PGOPTIONS, PGREPLICATION,
 * PGPASSWORD and others, set for psql or by a hosting platform, would change connections without a trace.
 * PGSSLMODE stays, for the settings to refuse; connections do not follow it.
 */
// biome-ignore lint/style/noProcessEnv: it is cleaned here
for (const name of Object.keys(process.env)) {
  // biome-ignore lint/style/noProcessEnv: as above
  if (/^PG(?!SSLMODE$)|^NODE_PG_FORCE_NATIVE$/.test(name)) delete process.env[name];
}
