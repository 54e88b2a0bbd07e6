/** Makes the folder in which test processes record the answers that they received. */
import { mkdir } from "node:fs/promises";
import { answersFolder } from "../answers.ts";

export default async function setup(): Promise<void> {
  await mkdir(answersFolder, { recursive: true });
}
