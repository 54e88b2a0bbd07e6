import { describeSettings } from "../config/config.ts";

/** What `latchkey --help` prints. */
export function help(): string {
  const settings = describeSettings().map(
    ({ name, fallback, help, allowed }) =>
      `  ${name}${fallback && `=${fallback}`}\n      ${help}\n      Allowed: ${allowed}.\n`,
  );
  return `Usage: latchkey [COMMAND] [--help] [--version]

  serve                        brings the database schema up to date, then serves (the default)
  migrate                      brings the database schema up to date
  keys list                    the signing keys: which one signs, which is next, and since when
  keys rotate                  the next key signs: at once where it has been published for six minutes
  keys revoke KID              ends a stolen key and all its tokens; the next key signs at once
  keys revoke --all            after SECRET_KEY was stolen and changed: ends all keys, tokens and sessions
  sessions end --all           ends all tokens and sessions of all users
  sessions end --user NAME     ends all tokens and sessions of a user
  users unlock NAME            forgets the wrong passwords that keep the user from signing in
  users set-password NAME      sets the password that is given on standard input; ends what the user had
  restore ...                  after a backup was restored: ends what had been ended since. Needs one of
                               --audit-log FILE, --end-passwords, --keep-passwords

keys, sessions and users work beside running services. Run restore before the service starts: until then, all that came
back is alive. NAME is a username, or the id that the log has.

Settings, from the environment:

${settings.join("")}
Exit status: 0 stopped as asked, 64 wrong usage, 65 a password or a file cannot be used,
69 something needed is not available, 70 a fault of Latchkey, 78 wrong settings,
128 plus a signal's number: a stop that a signal forced, or a command that a signal ended.`;
}
