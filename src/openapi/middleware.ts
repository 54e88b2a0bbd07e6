/** Express middlewares as promises. */
import type { Request, RequestHandler, Response } from "express";

/** Runs a middleware. The promise rejects with its error. */
export const runMiddleware = (middleware: RequestHandler, request: Request, response: Response): Promise<void> =>
  new Promise<void>((resolve, reject) => {
    const next = (error?: unknown) => (error === undefined ? resolve() : reject(error));
    (async () => middleware(request, response, next))().catch(next);
  });
