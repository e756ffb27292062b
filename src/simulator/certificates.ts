/** A simulated host's CA, what it issues, and what is made of clients' certificates. */
import "reflect-metadata";
import { KeyObject, webcrypto, X509Certificate } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { makeFolder } from "../files.ts";
import { messageOf } from "../systemError.ts";
import {
  CERTIFICATE_EXTENSION,
  type Command,
  decodeCertificateCommand,
  encodeCertificateCommand,
  type NamedPolicy,
  type Policy,
} from "../wire/messages.ts";
import { isValidLabel, type Name, pathText } from "../wire/names.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** An old CA of ours is replaced, one of somebody else's is not. */
const CA_NAME = "CN=simulated Albatross host";
/** No test and no demo is to end because of the CA's own age. */
const NOT_BEFORE = new Date("2000-01-01T00:00:00Z");
const NOT_AFTER = new Date("2049-12-31T00:00:00Z");

/** A certificate and its key. */
interface Issued {
  /** the certificate, then its issuer's and so on, the CA's left out: PEM */
  readonly chain: string;
  /** PKCS #8, PEM */
  readonly key: string;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly subject: string;
}

/** A certificate with a new key; a CA's own without an issuer, an intermediate's with a policy. */
async function issue(
  commonName: string,
  issuer: Issued | null,
  policy: Policy | null = null,
): Promise<Issued> {
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as Issued["keys"];
  const subject = `CN=${commonName}`;
  const extensions: x509.Extension[] = [];
  if (issuer === null || policy !== null)
    extensions.push(new x509.BasicConstraintsExtension(true, undefined, true));
  if (policy !== null) {
    const value = encodeCertificateCommand({ class: "policy", command: "add", policy });
    extensions.push(new x509.Extension(CERTIFICATE_EXTENSION, false, new Uint8Array(value)));
  }
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: issuer?.subject ?? subject,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: ALGORITHM,
    notBefore: NOT_BEFORE,
    notAfter: NOT_AFTER,
    extensions,
  });
  const above = issuer === null || issuer.subject === CA_NAME ? "" : issuer.chain;
  const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" }).toString();
  return { chain: `${certificate.toString("pem")}\n${above}`, key, keys, subject };
}

/**
 * Makes a CA and writes what clients need into the folder: `ca.pem` and `ca.key`, and for each policy of a path, where
 * those above have one, too, `issuer-PATH.pem` and `issuer-PATH.key`. Throws when the CA of somebody else lies there.
 */
export async function makeAuthority(folder: string, policies: readonly NamedPolicy[]) {
  await makeFolder(folder);
  const caFile = join(folder, "ca.pem");
  const before = await readFile(caFile, "utf8").catch(() => null);
  if (before !== null && !isOurs(before))
    throw new Error(`${caFile} is another CA's, which is not overwritten; allowed: a folder without it`);
  const ca = await issue(CA_NAME.slice("CN=".length), null);
  await write(folder, "ca", ca);
  const issuers = new Map<string, Issued>([["", ca]]);
  for (const { name, policy } of [...policies].sort((a, b) => a.name.path.length - b.name.path.length)) {
    const commonName = name.path.at(-1);
    const above = issuers.get(pathText(name.path.slice(0, -1)));
    if (commonName === undefined || above === undefined) continue;
    const issuer = await issue(commonName, above, policy);
    issuers.set(pathText(name.path), issuer);
    await write(folder, `issuer-${pathText(name.path)}`, issuer);
  }
  return { ca, server: await issue("albatross-tls-endpoint", ca) };
}

function isOurs(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject === CA_NAME;
  } catch {
    return false;
  }
}

async function write(folder: string, name: string, { chain, key }: Issued): Promise<void> {
  for (const [ending, text, mode] of [
    ["pem", chain, 0o644],
    ["key", key, 0o600],
  ] as const) {
    const file = join(folder, `${name}.${ending}`);
    // a file that is there would keep its mode
    await rm(file, { force: true });
    await writeFile(file, text, { mode, flag: "wx" });
  }
}

/** What a client's certificates have the endpoint do. */
export interface Order {
  readonly name: Name;
  readonly command: Command;
  /** of the intermediates, root side first */
  readonly policies: readonly NamedPolicy[];
}

/** By an alert of this number, or (null) by a close without a word. */
export interface Refusal {
  readonly why: string;
  readonly alert: number | null;
}

/** bad_certificate and certificate_expired, RFC 8446, 6.2 */
const BAD = 42;
const EXPIRED = 45;

/** Checks the chain of certificates, leaf first, as albatross-tls-endpoint 2.7.2 does. */
export function orderOf(leaf: X509Certificate, ca: string, nowMs: number): Order | Refusal {
  const chain: X509Certificate[] = [];
  for (let one: X509Certificate | undefined = leaf; one !== undefined; one = one.issuerCertificate)
    chain.push(one);
  const refusal = chainRefusal(chain, new X509Certificate(ca), nowMs);
  if (refusal !== null) return refusal;
  try {
    return readOrder(chain);
  } catch (error) {
    return { why: messageOf(error), alert: null };
  }
}

function chainRefusal(
  chain: readonly X509Certificate[],
  root: X509Certificate,
  nowMs: number,
): Refusal | null {
  for (const [index, certificate] of chain.entries()) {
    const { subject, validFrom, validTo } = certificate;
    const issuer = chain[index + 1] ?? root;
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey))
      return { alert: BAD, why: `the CA has not issued ${subject}` };
    if (new x509.X509Certificate(certificate.raw).getExtension(CERTIFICATE_EXTENSION)?.critical)
      return { alert: BAD, why: `${subject} has a critical extension that X.509 does not know` };
    if (nowMs < Date.parse(validFrom)) return { alert: EXPIRED, why: `${subject} is not valid yet` };
    if (nowMs > Date.parse(validTo)) return { alert: EXPIRED, why: `${subject} has expired` };
  }
  return null;
}

/** The one command of a class that may be given; of other classes every one may. */
const ONLY: Readonly<Record<string, string>> = { console: "subscribe", stats: "subscribe", policy: "info" };

/** Throws where the certificates hold no order that may be given. */
function readOrder([leaf, ...above]: readonly X509Certificate[]): Order {
  const own = leaf === undefined ? null : contentOf(leaf);
  if (own?.command === undefined) throw new Error("the leaf has no extension");
  const path: string[] = [];
  const policies: NamedPolicy[] = [];
  for (const certificate of above.toReversed()) {
    const { commonName, command } = contentOf(certificate);
    if (command === undefined) continue;
    if (command.class !== "policy" || command.command !== "add")
      throw new Error(`the intermediate ${commonName} holds something other than a policy`);
    path.push(labelOf(commonName));
    policies.push({ name: { path: [...path], label: null }, policy: command.policy });
  }
  const { commonName, command: asked } = own;
  if ((ONLY[asked.class] ?? asked.command) !== asked.command)
    throw new Error(`${asked.class} ${asked.command} is not allowed`);
  const label = commonName === "" || commonName === "." ? null : labelOf(commonName);
  return { name: { path, label }, command: asked, policies };
}

function contentOf(certificate: X509Certificate): { commonName: string; command: Command | undefined } {
  const parsed = new x509.X509Certificate(certificate.raw);
  const value = parsed.getExtension(CERTIFICATE_EXTENSION)?.value;
  return {
    commonName: parsed.subjectName.getField("CN").at(0) ?? "",
    command: value === undefined ? undefined : decodeCertificateCommand(new Uint8Array(value)),
  };
}

function labelOf(commonName: string): string {
  if (isValidLabel(commonName)) return commonName.toLowerCase();
  throw new Error(`the common name ${JSON.stringify(commonName)} is no label`);
}
