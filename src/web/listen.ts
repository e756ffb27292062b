import { once } from "node:events";
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { formatListenAddress, formatWebAddress, type WebAddress } from "../config/sections.ts";
import { isErrno, messageOf } from "../systemError.ts";

/** Where it is listened on in fact, also where the system chose the port. */
export interface BoundAddress {
  /** null is every address */
  readonly host: string | null;
  /** 0 for a unix socket */
  readonly port: number;
  /** what comes after `http://` where a browser on this machine finds it; for a unix socket as nginx writes it */
  readonly url: string;
}

/** Why an address cannot be listened on, and what to do about it. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** Has a server listen on an address, at `port` where that is given. Throws a ListenError. */
export async function bind(
  server: Server,
  asked: WebAddress,
  { ipv6Only, port }: { readonly ipv6Only: boolean; readonly port?: number | undefined },
): Promise<BoundAddress> {
  const refuse = (why: string) =>
    new ListenError(`cannot listen on ${formatWebAddress(port ? { ...asked, port } : asked)}: ${why}`);
  if ("unix" in asked && (await isInTheWay(asked.unix)))
    throw refuse("something that is no socket is there; choose another path");
  if ("unix" in asked) server.listen({ path: asked.unix });
  else if ("fd" in asked) server.listen({ fd: asked.fd });
  else server.listen({ host: asked.host ?? undefined, port: port ?? asked.port, ipv6Only });
  await once(server, "listening").catch((error: NodeJS.ErrnoException) => {
    const reasons = "unix" in asked ? { ...REASONS, ...UNIX_REASONS } : REASONS;
    const reason = reasons[error.code ?? ""];
    throw refuse(reason === undefined ? messageOf(error) : `${reason} ${WAY_OUT}`);
  });
  if ("unix" in asked) chmodSync(asked.unix, SOCKET_MODE);
  const address = server.address() as AddressInfo | string | null;
  // null: of a unix socket that was handed over Node does not know the path
  if (address === null || typeof address === "string") {
    const path = address ?? formatWebAddress(asked);
    return { host: path, port: 0, url: `unix:${path}:` };
  }
  const host = "host" in asked ? asked.host : address.address;
  const loopback = { "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1" }[host ?? ""] ?? host;
  return { host, port: address.port, url: formatListenAddress({ port: address.port, host: loopback }) };
}

/** Its group may connect, such as that of a proxy. */
const SOCKET_MODE = 0o660;

/** Removes a socket on which nobody listens, as it is left by a process that was killed. */
async function isInTheWay(path: string): Promise<boolean> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isSocket()) return true;
  const probe = connect(path);
  const isAlive = await once(probe, "connect").then(
    () => true,
    (error) => !isErrno(error, "ECONNREFUSED"),
  );
  probe.destroy();
  if (!isAlive) unlinkSync(path);
  return false;
}

const WAY_OUT = "choose another address with web.listen_addresses or --web.listen-address";
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "something listens there already; stop it or",
  EACCES: "not permitted (ports below 1024 need CAP_NET_BIND_SERVICE);",
  EADDRNOTAVAIL: "this machine does not have that address;",
  ENOTFOUND: "that host name has no address;",
  EAI_AGAIN: "that host name has no address;",
};
const UNIX_REASONS: Readonly<Record<string, string>> = {
  EACCES: "its folder is not there, or may not be written to;",
};

/** The first of the file descriptors that systemd hands over: sd_listen_fds(3). */
const FIRST_FD = 3;
/** More would be a mistake. */
const MAX_FDS = 100;

/** The sockets that systemd hands over with `LISTEN_PID` and `LISTEN_FDS`. Throws a ListenError without any. */
export function systemdSockets(environment: NodeJS.ProcessEnv, pid: number): readonly WebAddress[] {
  const { LISTEN_PID: forPid, LISTEN_FDS: count } = environment;
  const refuse = (why: string) => {
    const hint = "have a .socket unit of the service's name start it";
    return new ListenError(`--web.systemd-socket: ${why}; ${hint}, or leave the flag out`);
  };
  if (forPid === undefined || count === undefined) throw refuse("systemd handed over no socket");
  if (forPid !== String(pid))
    throw refuse(`the sockets are for the process ${forPid} (LISTEN_PID), this is ${pid}`);
  if (!/^[1-9]\d*$/.test(count) || Number(count) > MAX_FDS)
    throw refuse(`LISTEN_FDS=${JSON.stringify(count)} is no number of sockets from 1 to ${MAX_FDS}`);
  return Array.from({ length: Number(count) }, (_, n) => ({ fd: FIRST_FD + n }));
}
