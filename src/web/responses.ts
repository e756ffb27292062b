import type { Response } from "express";

/** The kinds of error that the API names, as Prometheus' API does. */
export type ApiErrorType = "bad_data" | "not_found" | "unavailable" | "internal";

/** Answers with one line of plain text, whatever was planned before. */
export function sendText(response: Response, status: number, line: string): void {
  response.removeHeader("Content-Encoding");
  response.status(status);
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`${line}\n`);
}

/** Answers as Prometheus' API does when all is well. */
export function sendData(response: Response, data: unknown): void {
  sendJson(response, 200, { status: "success", data });
}

/** Answers as Prometheus' API does when it cannot. */
export function sendError(response: Response, status: number, errorType: ApiErrorType, error: string): void {
  sendJson(response, status, { status: "error", errorType, error });
}

function sendJson(response: Response, status: number, body: unknown): void {
  response.status(status);
  response.setHeader("Content-Type", JSON_TYPE);
  response.end(toJson(body));
}

export const JSON_TYPE = "application/json; charset=utf-8";

/** JSON in which a bigint is decimal text: a JSON number of that size would lose digits where it is read. */
export function toJson(value: unknown): string {
  return (
    JSON.stringify(value, (_key, field) => (typeof field === "bigint" ? field.toString() : field)) ?? "null"
  );
}
