import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { WebAccess } from "../config/webConfig.ts";
import type { Logger } from "../log.ts";
import type { Access } from "./access.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;

interface AcceptorDeps {
  readonly access: Pick<Access, "current">;
  readonly log: Pick<Logger, "warn" | "debug">;
}

/** Takes new connections and hands on those that may be served, secured where the web configuration says so. */
export function acceptor(
  { access, log }: AcceptorDeps,
  serve: (socket: Socket) => void,
): (raw: Socket) => void {
  let latest: WebAccess["tls"] = null;
  let server: Server | null = null;
  return (raw) => {
    const { tls } = access.current();
    if (tls !== latest) {
      latest = tls;
      // a new one, lest sessions outlive the certificates and rules that they began with
      server = tls && secureServer(tls, log, serve);
    }
    if (server === null) serve(raw);
    else server.emit("connection", raw);
  };
}

type Tls = NonNullable<WebAccess["tls"]>;

function secureServer(tls: Tls, log: AcceptorDeps["log"], serve: (socket: Socket) => void): Server {
  const server = createServer({
    ...tls.context,
    ALPNProtocols: ["http/1.1"],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    requestCert: tls.clientAuth !== "NoClientCert",
    // the client is told where it lacks one, which is not possible later
    rejectUnauthorized: tls.clientAuth === "RequireAndVerifyClientCert",
  });
  const refuse = (socket: TLSSocket, why: string) => {
    log.warn({ client: socket.remoteAddress, reason: why }, "TLS connection refused");
    socket.destroy();
  };
  server.on("secureConnection", (socket) => {
    const why = refusal(tls, socket);
    if (why === null) serve(socket);
    else refuse(socket, why);
  });
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    const why = socket.authorizationError ?? error.message;
    // who only looks whether somebody listens
    const isProbe = error.code === "ECONNRESET" && !socket.authorizationError;
    if (isProbe) log.debug({ client: socket.remoteAddress }, "TLS connection closed by the client");
    else refuse(socket, String(why));
  });
  return server;
}

/** Why a client may not be served, by its certificate; or null. */
function refusal({ clientAuth, allowedSans }: Tls, socket: TLSSocket): string | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined)
    return clientAuth.startsWith("Require") ? "client without a certificate" : null;
  if (clientAuth.includes("Verify") && !socket.authorized) return String(socket.authorizationError);
  const names = alternativeNames(certificate.subjectAltName ?? "");
  if (allowedSans === null || names.some((name) => allowedSans.includes(name))) return null;
  return `client_allowed_sans has none of the client's names: ${names.join(", ") || "it has none"}`;
}

function alternativeNames(list: string): readonly string[] {
  const names = list.matchAll(/(?:^|, )(DNS|IP Address|email|URI):("(?:[^"\\]|\\.)*"|[^,]*)/g);
  return Array.from(names, ([, type, name = ""]) => {
    const text: string = name.startsWith('"') ? JSON.parse(name) : name;
    const isIPv6 = type === "IP Address" && text.includes(":");
    return isIPv6 ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text;
  });
}
