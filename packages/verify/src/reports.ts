/** Tells the owner of a service when requests to Latchkey fail. */
import { StatusError } from "./json.ts";

export type Reports = {
  /** Makes the listener of one kind of request. It reports the first failure after a success. @param what could not be done */
  of(what: string): (error: unknown) => void;
  /** Rejects when a response of Latchkey will be the same until somebody changes the configuration, and at `close`. */
  rejected(): Promise<never>;
  close(): void;
};

type ReportOptions = {
  /** Called with each failure. */
  failed(): void;
  /** Called with each failure that follows a success. */
  report(error: Error): void;
};

export function reportOutcomes({ failed, report }: ReportOptions): Reports {
  const waiting = new Set<(error: Error) => void>();
  let isClosed = false;
  const rejectAll = (error: Error): void => {
    for (const reject of waiting) reject(error);
    waiting.clear();
  };
  return {
    of(what) {
      let isFailing = false;
      return (error) => {
        if (isClosed) return;
        if (error === undefined) {
          isFailing = false;
          return;
        }
        failed();
        const explained = explain(what, error);
        if (isRejection(error)) rejectAll(explained);
        if (isFailing) return;
        isFailing = true;
        try {
          report(explained);
        } catch {
          // A listener that throws must not end the requests.
        }
      };
    },
    rejected: () =>
      new Promise((_, reject) => {
        if (isClosed) reject(closed());
        else waiting.add(reject);
      }),
    close() {
      isClosed = true;
      rejectAll(closed());
    },
  };
}

const closed = () => new Error("The verifier is closed.");

/** Whether a response will be the same until somebody changes the configuration. */
export const isRejection = (error: unknown): error is StatusError =>
  error instanceof StatusError && [400, 401, 403, 404, 405].includes(error.status);

function explain(what: string, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(`${what}: ${reason}${hintOf(error)}`, { cause: error });
}

function hintOf(error: unknown): string {
  if (!(error instanceof StatusError)) return "";
  if (error.status === 401) return " The credential is not an API key that is valid.";
  if (error.status === 403) {
    return " The user of the credential needs the scopes revocations:read, tokens:introspect and apis:read.";
  }
  return error.status === 404 ? " Is this the address of Latchkey?" : "";
}
