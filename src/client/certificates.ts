/** Certificates for albatross-tls-endpoint: read from PEM files, and made from an issuer's. Keys stay in memory. */
import { createPrivateKey, KeyObject, webcrypto, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { messageOf, plainMessage } from "../systemError.ts";
import {
  CERTIFICATE_EXTENSION,
  type Command,
  decodeCertificateCommand,
  encodeCertificateCommand,
  type Policy,
} from "../wire/messages.ts";
import { isValidLabel, type Name } from "../wire/names.ts";

/** `unikernel info` */
export function kindOf({ class: kind, command }: Command): string {
  return `${kind} ${command}`;
}

/** What is wrong with a file of a certificate or a key. */
export class CertificateError extends Error {
  override name = "CertificateError";
}

/** A certificate and its key, as PEM files. */
export interface HolderFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface Certificate {
  /** where it was read from */
  readonly file: string;
  readonly x509: X509Certificate;
  /** of its subject; null where there is none */
  readonly commonName: string | null;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** what Albatross' extension says; null without one */
  readonly command: Command | null;
}

/** A certificate, its chain and its key. */
export interface Holder {
  readonly certificate: Certificate;
  /** what is shown of it: from it to the one that the CA issued; none of the CA itself */
  readonly chain: readonly Certificate[];
  readonly key: KeyObject;
  /** the key's, as WebCrypto calls it */
  readonly algorithm: Algorithm;
  readonly keyFile: string;
  /** The key's file may be read by everyone on this machine. */
  readonly isKeyOpen: boolean;
}

/** What certificates allow below them: what the endpoint makes of their names and policies. */
export interface Scope {
  readonly path: readonly string[];
  /** applied to the host again with each command to albatrossd, root side first; none at the root */
  readonly policies: readonly {
    readonly path: readonly string[];
    readonly policy: Policy;
    /** where its certificate is */
    readonly file: string;
  }[];
}

/** What a client shows, as PEM. Never written or logged: it may hold arguments. */
export interface Identity {
  readonly certificates: string;
  readonly key: string;
}

const CERTIFICATE_PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const MAX_FILE_BYTES = 1024 * 1024;
/** Clocks differ: leaves made at run time hold for so long before they were made. */
const BACKDATED_MS = 60 * 60_000;
const READABLE_BY_ALL = 0o004;

/** The kinds of keys that Albatross' own programs make, as WebCrypto calls them. */
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  ed25519: { name: "Ed25519" },
  prime256v1: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
};
type Algorithm = { readonly name: string; readonly namedCurve?: string; readonly hash?: string };

/** 150 ms and 20 MB, only for who has hosts to reach by TLS. It needs reflect-metadata before itself. */
async function x509Library() {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}

/** The certificates of a PEM file in its order, one at least. Throws a CertificateError. */
export async function readCertificates(file: string): Promise<readonly [Certificate, ...Certificate[]]> {
  const blocks = (await readText(file)).match(CERTIFICATE_PEM) ?? [];
  const [first, ...others] = await Promise.all(blocks.map((pem) => readCertificate(file, pem)));
  if (first === undefined) throw new CertificateError(`${file}: holds no certificate in PEM`);
  return [first, ...others];
}

async function readCertificate(file: string, pem: string): Promise<Certificate> {
  const library = await x509Library();
  const [x509, parsed] = attempt(`${file}: a certificate cannot be read`, () => {
    return [new X509Certificate(pem), new library.X509Certificate(pem)] as const;
  });
  const extension = parsed.getExtension(CERTIFICATE_EXTENSION);
  const what = `${file}: the certificate's Albatross extension cannot be read`;
  if (extension?.critical)
    throw new CertificateError(
      `${file}: the certificate's Albatross extension is critical, which the endpoint refuses; allowed: one that is not`,
    );
  return {
    file,
    x509,
    commonName: parsed.subjectName.getField("CN")[0] ?? null,
    notBeforeMs: parsed.notBefore.getTime(),
    notAfterMs: parsed.notAfter.getTime(),
    command: extension && attempt(what, () => decodeCertificateCommand(new Uint8Array(extension.value))),
  };
}

/**
 * Reads a certificate and what follows it in its file, and its key. Without `ca` the chain may end anywhere. Throws a
 * CertificateError.
 */
export async function readHolder(files: HolderFiles, ca: readonly Certificate[] | null): Promise<Holder> {
  const found = await readCertificates(files.certificate);
  const isCa = ({ x509 }: Certificate) =>
    ca === null ? isIssuedBy(x509, x509) : ca.some((one) => one.x509.raw.equals(x509.raw));
  const chain = found.filter((one) => !isCa(one));
  for (const [index, { x509, file, commonName }] of chain.entries()) {
    const next = chain[index + 1];
    if (next === undefined && ca === null) break;
    if ((next === undefined ? (ca ?? []) : [next]).some((issuer) => isIssuedBy(x509, issuer.x509))) continue;
    const by = next === undefined ? `the CA of ${ca?.[0]?.file}` : "the one after it";
    const who = `${file}: the certificate ${JSON.stringify(commonName ?? "")}`;
    const allowed = "a chain from it up to that CA, each issued by the next";
    throw new CertificateError(`${who} is not issued by ${by}; allowed: ${allowed}`);
  }
  const [certificate] = found;
  // what the CA's key signs is not below them
  if (chain.length > 0 && isCa(certificate))
    throw new CertificateError(
      `${files.certificate}: the CA's certificate is before others; allowed: it at the end, or not at all`,
    );
  const key = readKey(files.key, await readText(files.key));
  const algorithm = ALGORITHMS[key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? ""];
  if (algorithm === undefined) {
    throw new CertificateError(`${files.key}: a key of another kind; allowed: Ed25519, P-256`);
  }
  if (!certificate.x509.checkPrivateKey(key)) {
    throw new CertificateError(`${files.key}: is not the key of ${files.certificate}`);
  }
  const { mode } = await stat(files.key);
  const isKeyOpen = (mode & READABLE_BY_ALL) !== 0;
  return { certificate, chain, key, algorithm, keyFile: files.key, isKeyOpen };
}

/** Whether `issuer` has signed it, whatever either may be used for. */
export function isIssuedBy(one: X509Certificate, issuer: X509Certificate): boolean {
  return one.issuer === issuer.subject && one.verify(issuer.publicKey);
}

/** Whether the CA itself issued it, and no tenant who holds a policy. */
export async function isServerOf(ca: readonly Certificate[], server: X509Certificate): Promise<boolean> {
  const { X509Certificate: Parsed } = await x509Library();
  const isTenant = new Parsed(new Uint8Array(server.raw)).getExtension(CERTIFICATE_EXTENSION) !== null;
  return !isTenant && ca.some(({ x509 }) => isIssuedBy(server, x509));
}

/** What the certificates above a leaf, its issuer first, make of it. Throws a CertificateError. */
export function scopeOf(above: readonly Certificate[]): Scope {
  const path: string[] = [];
  const policies: Scope["policies"][number][] = [];
  for (const { command, commonName, file } of above.toReversed()) {
    if (command === null) continue;
    if (command.class !== "policy" || command.command !== "add") {
      throw new CertificateError(
        `${file}: an issuer's Albatross extension is ${kindOf(command)}, which the endpoint refuses; allowed: a policy`,
      );
    }
    const label = commonName ?? "";
    if (!isOneLabel(label)) {
      throw new CertificateError(
        `${file}: an issuer's common name is ${JSON.stringify(label)}; allowed: the one label that it adds to the path`,
      );
    }
    path.push(label.toLowerCase());
    policies.push({ path: [...path], policy: command.policy, file });
  }
  return { path, policies };
}

/** What a leaf asks, and about whom. Throws a CertificateError for what the endpoint refuses. */
export function askedBy({ certificate, chain }: Holder): { readonly name: Name; readonly command: Command } {
  const { file, command, commonName } = certificate;
  const { path } = scopeOf(chain.slice(1));
  if (command === null) {
    throw new CertificateError(`${file}: the certificate has no Albatross extension: it allows nothing`);
  }
  const label = commonName === "." ? null : (commonName?.toLowerCase() ?? null);
  if (label !== null && !isOneLabel(label)) {
    throw new CertificateError(`${file}: the common name ${JSON.stringify(label)} is no label`);
  }
  return { name: { path, label }, command };
}

/** A leaf's common name `.` is the path itself. */
function isOneLabel(text: string): boolean {
  return text !== "." && isValidLabel(text);
}

/** What a chain, a leaf first, shows. */
export function identityOf(chain: readonly Pick<Certificate, "x509">[], key: KeyObject): Identity {
  return {
    // ends with a line feed each
    certificates: chain.map(({ x509 }) => x509.toString()).join(""),
    key: key.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/**
 * Makes a leaf one label below its issuer's path, or (`label` null) for that path itself: with a key of the kind that the
 * issuer has, good from an hour before `nowMs` until `validMs` after it.
 */
export async function issue(
  { certificate, chain, key, algorithm }: Holder,
  leaf: { readonly label: string | null; readonly command: Command },
  nowMs: number,
  validMs: number,
): Promise<Identity> {
  const library = await x509Library();
  const { subtle } = webcrypto;
  const made = (await subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const pkcs8 = key.export({ type: "pkcs8", format: "der" });
  const value = new Uint8Array(encodeCertificateCommand(leaf.command));
  const x509 = await library.X509CertificateGenerator.create(
    {
      subject: [{ CN: [leaf.label ?? "."] }],
      // its very bytes: another kind of string is another name to some
      issuer: new library.X509Certificate(new Uint8Array(certificate.x509.raw)).subjectName,
      notBefore: new Date(nowMs - BACKDATED_MS),
      notAfter: new Date(nowMs + validMs),
      publicKey: made.publicKey,
      signingKey: await subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]),
      signingAlgorithm: algorithm,
      extensions: [new library.Extension(CERTIFICATE_EXTENSION, false, value)],
    },
    webcrypto,
  );
  const own = { x509: new X509Certificate(x509.toString("pem")) };
  return identityOf([own, ...chain], KeyObject.from(made.privateKey));
}

function readKey(file: string, text: string): KeyObject {
  if (/^(-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED)/m.test(text)) {
    const plain = `openssl pkey -in ${file} -out PLAIN`;
    throw new CertificateError(
      `${file}: the key has a passphrase; allowed: one without, as ${plain} makes it`,
    );
  }
  if (!/-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/.test(text))
    throw new CertificateError(`${file}: holds no private key in PEM`);
  return attempt(`${file}: the key cannot be read`, () => createPrivateKey(text));
}

async function readText(file: string): Promise<string> {
  try {
    const found = await stat(file);
    if (!found.isFile() || found.size > MAX_FILE_BYTES) throw new Error("it is no file of at most 1 MiB");
    return await readFile(file, "utf8");
  } catch (error) {
    throw new CertificateError(`${file}: ${plainMessage(error)}`, { cause: error });
  }
}

function attempt<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new CertificateError(`${what}: ${messageOf(error)}`);
  }
}
