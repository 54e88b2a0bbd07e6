import { describeSettings } from "../config/config.ts";

/** What `latchkey --help` prints. */
export function help(): string {
  const settings = describeSettings().map(
    ({ name, fallback, help, allowed }) =>
      `  ${name}${fallback && `=${fallback}`}\n      ${help}\n      Allowed: ${allowed}.\n`,
  );
  return `Usage: latchkey [COMMAND] [--help] [--version]

  serve                        apply missing migrations, then serve (the default)
  migrate                      apply missing migrations
  keys list                    list the signing keys with their states
  keys rotate                  rotate the signing key: the next key signs once it has been published for six minutes
  keys revoke KID              revoke a stolen key and all its tokens; the next key signs at once
  keys revoke --all            revoke all keys, tokens and sessions, after SECRET_KEY was stolen and changed
  sessions end --all           end all sessions and tokens of all users
  sessions end --user NAME     end all sessions and tokens of a user
  users unlock NAME            reset the counts of wrong passwords that prevent the user from signing in
  users set-password NAME      set the password from standard input; end all sessions and tokens of the user
  restore ...                  after a backup was restored: revoke again what was revoked since the backup. Requires one
                               of --audit-log FILE, --end-passwords, --keep-passwords

The commands keys, sessions and users can be used while the service runs. Run restore before the service starts: until
then, restored credentials are valid. NAME is a username or a user id from the log.

Settings (environment variables):

${settings.join("")}
Exit status: 0 success, 64 wrong usage, 65 unusable password or file, 69 something required is not available,
70 internal error, 78 wrong settings, 128 plus the number of a signal that forced a stop or ended a command.`;
}
