/** What holds for every operation, derived from its declaration in the contract. */
import { isOfEveryUser } from "../../../src/access/rights.ts";
import { type Cases, type CasesByStatus, mergeCases, type OperationUnderTest } from "../cases.ts";
import { bodyCases } from "./bodies.ts";
import { acceptCases, conditionalCases, unconditionalCases } from "./content.ts";
import {
  basicCases,
  basicOrBearerCases,
  bearerCases,
  guessingCases,
  limitedTokenCases,
  scopeCases,
} from "./credentials.ts";
import { databaseAwayCases, internalErrorCases } from "./faults.ts";
import { crossSiteCases, headCases, invalidRequestCases, methodCases } from "./requests.ts";

/** Returns the cases of the declared statuses, and those of requests that no operation declares. */
export function sharedCases(tested: OperationUnderTest): { byStatus: CasesByStatus; undeclared: Cases } {
  const { schemes, statuses, method } = tested.operation;
  const takesBasic = schemes.includes("basic");
  const takesBearer = schemes.includes("bearer");
  const has = (status: number) => statuses.includes(status);
  const lists: (CasesByStatus | false)[] = [
    invalidRequestCases(tested),
    method === "GET" && headCases(tested),
    takesBasic && takesBearer && basicOrBearerCases(tested),
    takesBasic && !takesBearer && basicCases(tested),
    takesBearer && !takesBasic && bearerCases(tested),
    takesBasic && has(429) && guessingCases(tested),
    has(403) && method !== "GET" && crossSiteCases(tested),
    tested.operation.scopes.some((scope) => !isOfEveryUser(scope)) && scopeCases(tested),
    tested.operation.scopes.length > 0 && takesBasic && takesBearer && limitedTokenCases(tested),
    has(406) && acceptCases(tested),
    has(304) ? conditionalCases(tested) : has(406) && unconditionalCases(tested),
    has(413) && bodyCases(tested),
    // A bearer token is verified without the tables that these cases break.
    has(500) && (takesBasic || !takesBearer) && internalErrorCases(tested),
    has(503) && databaseAwayCases(tested),
  ];
  return { byStatus: mergeCases(...lists.filter((list) => list !== false)), undeclared: methodCases(tested) };
}
