/** Ends the process with one sentence where Node is older than package.json's `engines` asks for. Written for old ones to parse. */
const required = [20, 19] as const;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < required[0] || (major === required[0] && minor < required[1])) {
  process.stderr.write(
    `latchkey: Node ${process.versions.node} is too old: ${required.join(".")} or newer is needed.\n`,
  );
  process.exit(69); // EX_UNAVAILABLE
}
