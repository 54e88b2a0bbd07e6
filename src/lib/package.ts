/** The package that this program is part of: the same whether it runs from src/ or from dist/. */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** @returns the path of a file that package.json exports */
export const packageFile = (name: string): string => require.resolve(`latchkey/${name}`);

/** The version of this program. */
export const version = (): string => (require("latchkey/package.json") as { version: string }).version;
