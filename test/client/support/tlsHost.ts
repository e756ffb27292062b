import "reflect-metadata"; // before @peculiar/x509
import type { AddressInfo, Socket } from "node:net";
import { createServer, type DetailedPeerCertificate, type Server, type TLSSocket } from "node:tls";
import { X509Certificate } from "@peculiar/x509";
import type { TlsConfig } from "../../../src/config/target.ts";
import { CERTIFICATE_EXTENSION, type Command, decodeCertificateCommand } from "../../../src/wire/messages.ts";
import { type Made, make, PemFolder } from "../../support/certificates.ts";

/** One client of the endpoint. */
export interface Visit {
  readonly socket: TLSSocket;
  /** common names that it showed, the leaf's first */
  readonly names: readonly string[];
  /** of the leaf */
  readonly command: Command;
  readonly serial: string;
  readonly chunks: Buffer[];
}

/** An albatross-tls-endpoint with a CA of its own, that does with each connection what a test says. */
export class TlsHost {
  readonly folder = new PemFolder();
  readonly visits: Visit[] = [];
  /** connections, with a TLS handshake or without */
  connections = 0;
  serve: (visit: Visit) => void = ({ socket }) => void socket.end();
  ca!: Made;
  caFile!: string;
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();

  async start(server?: (ca: Made) => Promise<readonly [Made, ...Made[]]>): Promise<this> {
    this.ca = await make("test CA");
    this.caFile = this.folder.write("ca.pem", this.ca.pem);
    const shown = (await server?.(this.ca)) ?? [await make("server", { issuer: this.ca, isCa: false })];
    await this.listen(shown);
    return this;
  }

  async listen(shown: readonly [Made, ...Made[]], port = 0): Promise<void> {
    this.#server = createServer({
      cert: shown.map(({ pem }) => pem).join(""),
      key: shown[0].key,
      ca: this.ca.pem,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.3",
    });
    this.#server.on("connection", (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
    });
    this.#server.on("tlsClientError", () => undefined);
    this.#server.on("secureConnection", (socket) => {
      const visit = { socket, chunks: [] as Buffer[], ...shownBy(socket) };
      socket.on("error", () => undefined);
      socket.on("data", (chunk) => visit.chunks.push(chunk));
      this.visits.push(visit);
      this.serve(visit);
    });
    await new Promise<void>((resolve) => this.#server?.listen(port, "127.0.0.1", resolve));
  }

  /** With another certificate, at the same port. */
  async relisten(shown: readonly [Made, ...Made[]]): Promise<void> {
    const { port } = this;
    await this.#close();
    await this.listen(shown, port);
  }

  get port(): number {
    const address = this.#server?.address() as AddressInfo | undefined;
    return address?.port ?? 0;
  }

  config(over: Partial<TlsConfig> = {}): TlsConfig {
    const address = { text: `127.0.0.1:${this.port}`, host: "127.0.0.1", port: this.port };
    return { address, ca: this.caFile, issuer: null, certificates: null, ...over };
  }

  async stop(): Promise<void> {
    await this.#close();
    this.folder.remove();
  }

  async #close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => (this.#server === null ? resolve(null) : this.#server.close(resolve)));
  }
}

/** Of the names in a chain with an intermediate those that Node tells: newer ones tell the leaf's alone. */
export function chainAsTold(...names: string[]): string[] {
  return Number.parseInt(process.versions.node, 10) > 20 ? names.slice(0, 1) : names;
}

function shownBy(socket: TLSSocket): Pick<Visit, "names" | "command" | "serial"> {
  const names: string[] = [];
  let one: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  const serial = one.serialNumber;
  const extension = new X509Certificate(new Uint8Array(one.raw)).getExtension(CERTIFICATE_EXTENSION);
  while (one !== undefined && !names.includes(nameOf(one))) {
    names.push(nameOf(one));
    one = one.issuerCertificate;
  }
  return {
    names,
    serial,
    command: decodeCertificateCommand(new Uint8Array(extension?.value ?? new ArrayBuffer())),
  };
}

function nameOf({ subject }: DetailedPeerCertificate): string {
  return String(subject?.CN ?? "");
}
