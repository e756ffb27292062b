import "reflect-metadata"; // before @peculiar/x509
import { createPrivateKey, webcrypto } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { X509Certificate } from "@peculiar/x509";
import type { Made } from "../support/certificates.ts";
import { Client } from "./support.ts";

/** A host with a TLS endpoint, and what its clients need. */
interface Reached {
  readonly tlsFolder: string;
  readonly host: { readonly tlsAddress: string | null };
}

/** An issuer that the simulated host has written for its clients: `ca`, `issuer-user`. */
export async function issuerOf({ tlsFolder }: Pick<Reached, "tlsFolder">, name: string): Promise<Made> {
  const pem = readFileSync(join(tlsFolder, `${name}.pem`), "utf8");
  const key = readFileSync(join(tlsFolder, `${name}.key`), "utf8");
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const pkcs8 = createPrivateKey(key).export({ type: "pkcs8", format: "der" });
  const privateKey = await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, true, ["sign"]);
  const x509 = new X509Certificate(pem);
  const publicKey = (await x509.publicKey.export()) as webcrypto.CryptoKey;
  return { x509, keys: { privateKey, publicKey }, kind: "P-256", pem, key };
}

type Shown = Pick<Made, "pem" | "key">;

/** A client with a certificate and those above it, once it believes the handshake to be done. */
export async function dialTls(
  { host, tlsFolder }: Reached,
  ...chain: readonly [Shown, ...Shown[]]
): Promise<Client> {
  const [, port = ""] = (host.tlsAddress ?? "").split(":");
  const socket = connect({
    host: "127.0.0.1",
    port: Number(port),
    ca: readFileSync(join(tlsFolder, "ca.pem")),
    cert: chain.map(({ pem }) => pem).join(""),
    key: chain[0].key,
    checkServerIdentity: () => undefined,
    minVersion: "TLSv1.3",
  });
  const client = new Client(socket);
  const isSecure = await Promise.race([
    once(socket, "secureConnect").then(() => true),
    once(socket, "close").then(() => false),
  ]).catch(() => false);
  if (isSecure) return client;
  await client.end();
  throw new Error(`no handshake: ${client.error}`);
}
