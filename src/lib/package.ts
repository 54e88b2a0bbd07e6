/** The package of this program, whether it runs from src/ or from dist/. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const manifest = "latchkey/package.json";

/** @returns the path of a file of the package */
export const packageFile = (path: string): string => join(dirname(require.resolve(manifest)), path);

/** The version of this program. */
export const version = (): string => (require(manifest) as { version: string }).version;
