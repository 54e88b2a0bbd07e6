/** Loads tracing, which needs optional packages. */
import { StartError } from "../errors.ts";

/** @throws {StartError} if the optional packages of OpenTelemetry are not installed */
export function loadTracing(): Promise<typeof import("./tracing.ts")> {
  return import("./tracing.ts").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new StartError(
      "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: it is an optional package. Install Latchkey without --omit=optional, or unset it.",
      { cause },
    );
  });
}
