/** The folder in which each test file notes the answers that it saw. */
import { mkdir } from "node:fs/promises";
import { answersFolder } from "../answers.ts";

export default async function setup(): Promise<void> {
  await mkdir(answersFolder, { recursive: true });
}
