import { answerFaults } from "./answers.ts";
import { credentialFaults } from "./credentials.ts";
import type { PlantedFault } from "./fault.ts";
import { sessionFaults } from "./sessions.ts";

export const plantedFaults: PlantedFault[] = [...credentialFaults, ...sessionFaults, ...answerFaults];
