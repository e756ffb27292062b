import { isIP } from "node:net";
import { type Reader, Refused } from "./fields.ts";
import type { ListenAddress } from "./types.ts";

const ALLOWED = "an address to listen on such as :10042, 127.0.0.1:10042, [::1]:10042 or localhost:10042";
const MAX_PORT = 65_535;

/** `:PORT` (every address) or `HOST:PORT`; an IPv6 address stands in brackets. */
export const listenAddress: Reader<ListenAddress> = (value) => {
  if (typeof value === "number") return new Refused(ALLOWED, `${value} is a number; write ":${value}"`);
  const groups =
    typeof value === "string"
      ? /^(?<host>|\[[^\]]*\]|[^:[\]]+):(?<port>\d{1,5})$/.exec(value)?.groups
      : undefined;
  if (groups === undefined) return new Refused(ALLOWED);
  const host = groups["host"] ?? "";
  const port = Number(groups["port"]);
  if (port > MAX_PORT) return new Refused(ALLOWED, `port ${port} is above ${MAX_PORT}`);
  if (host === "") return { host: null, port };
  if (host.startsWith("[")) {
    const address = host.slice(1, -1);
    return isIP(address) === 6 ? { host: address, port } : new Refused(ALLOWED, `${host} is no IPv6 address`);
  }
  return /^[a-zA-Z0-9._-]+$/.test(host) ? { host, port } : new Refused(ALLOWED);
};

/** The address as the file would say it. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  if (host === null) return `:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Routes that the program keeps for itself. */
const KEPT_ROUTES = /^\/(?:-|api)(?:\/|$)/;

/** The path of the metrics: plain characters, no query, and none of the program's other routes. */
export const telemetryPath: Reader<string> = (value) => {
  const allowed =
    "a path such as /metrics, of letters, digits and ._~-/, not / itself and not below /api or /-";
  if (typeof value !== "string" || !/^(?:\/[\w.~-]+)+$/.test(value) || KEPT_ROUTES.test(value))
    return new Refused(allowed);
  return value;
};
