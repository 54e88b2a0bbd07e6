/** The documentation that the service serves, compressed once. */
import { readFile } from "node:fs/promises";
import type { Contract } from "../openapi/contract.ts";
import { compress, type EncodedBody, encodedBody } from "../openapi/encodedBody.ts";

export type Documentation = {
  /** The guide and the reference. */
  page: EncodedBody;
  /** Content-Security-Policy of the page. */
  policy: string;
  /** The contract, compressed for the first client that asks. */
  yaml(): Promise<EncodedBody>;
  json(): Promise<EncodedBody>;
};

/** The files that `npm run build` writes next to the page. The service reads only these. */
export const builtFiles = (page: string) => ({ br: `${page}.br`, gzip: `${page}.gz`, policy: `${page}.csp` });

/** @param page the path of the page that `npm run build` writes */
export async function loadDocumentation(page: string, { published }: Contract): Promise<Documentation> {
  const files = builtFiles(page);
  const [br, gzip, policy] = await Promise.all([
    readFile(files.br),
    readFile(files.gzip),
    readFile(files.policy, "utf8"),
  ]);
  return {
    page: encodedBody({ br, gzip }),
    policy,
    yaml: compressedOnce(() => published.yaml()),
    json: compressedOnce(async () => JSON.stringify(published.document)),
  };
}

function compressedOnce(text: () => Promise<string>): () => Promise<EncodedBody> {
  let compressed: Promise<EncodedBody> | undefined;
  const make = async () => encodedBody(await compress(Buffer.from(await text())));
  return () => {
    compressed ??= make().catch((error: unknown) => {
      compressed = undefined; // the next request tries again
      throw error;
    });
    return compressed;
  };
}
