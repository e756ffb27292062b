import "reflect-metadata"; // before @peculiar/x509
import { KeyObject, webcrypto } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralNames,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { CERTIFICATE_EXTENSION, type Command, encodeCertificateCommand } from "../../src/wire/messages.ts";

const KINDS = {
  Ed25519: { name: "Ed25519" },
  "P-256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
} as const;

export type Kind = keyof typeof KINDS;

/** One that can issue others. */
export interface Made {
  readonly x509: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly kind: Kind;
  readonly pem: string;
  /** its key, as PEM */
  readonly key: string;
}

export interface Wish {
  readonly issuer?: Made;
  readonly kind?: Kind;
  readonly command?: Command | undefined;
  /** the extension's bytes, right or wrong */
  readonly extension?: Buffer;
  readonly isCritical?: boolean;
  readonly isCa?: boolean;
  /** what it may be used for: OIDs */
  readonly purposes?: readonly string[];
  /** other names of its subject */
  readonly names?: JsonGeneralNames;
  readonly fromMs?: number;
  readonly untilMs?: number;
}

const DAY_MS = 86_400_000;

/** A certificate for tests; without an issuer one that signs itself. An empty common name is an empty subject. */
export async function make(commonName: string, wish: Wish = {}): Promise<Made> {
  const { issuer, kind = "Ed25519", command, isCa = true } = wish;
  const algorithm = KINDS[kind];
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const extension = command === undefined ? wish.extension : encodeCertificateCommand(command);
  const subject = commonName === "" ? [] : [{ CN: [commonName] }];
  const x509 = await X509CertificateGenerator.create(
    {
      subject,
      issuer: issuer === undefined ? subject : issuer.x509.subjectName,
      notBefore: new Date(wish.fromMs ?? Date.now() - DAY_MS),
      notAfter: new Date(wish.untilMs ?? Date.now() + 100 * DAY_MS),
      publicKey: keys.publicKey,
      signingKey: (issuer?.keys ?? keys).privateKey,
      signingAlgorithm: KINDS[issuer?.kind ?? kind],
      extensions: [
        ...(isCa ? [new BasicConstraintsExtension(true, undefined, true)] : []),
        ...(wish.names === undefined ? [] : [new SubjectAlternativeNameExtension(wish.names)]),
        ...(wish.purposes === undefined ? [] : [new ExtendedKeyUsageExtension([...wish.purposes])]),
        ...(extension === undefined
          ? []
          : [new Extension(CERTIFICATE_EXTENSION, wish.isCritical ?? false, new Uint8Array(extension))]),
      ],
    },
    webcrypto,
  );
  const key = KeyObject.from(keys.privateKey);
  return {
    x509,
    keys,
    kind,
    pem: `${x509.toString("pem")}\n`,
    key: key.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** A folder of PEM files. */
export class PemFolder {
  readonly path = mkdtempSync(join(tmpdir(), "albatross-pem-"));

  /** The file's path. */
  write(name: string, text: string, mode = 0o600): string {
    const file = join(this.path, name);
    mkdirSync(this.path, { recursive: true });
    writeFileSync(file, text, { mode });
    chmodSync(file, mode);
    return file;
  }

  /** A certificate with those above it, in this order, and its key. */
  holder(name: string, made: Made, ...above: readonly Made[]) {
    const certificate = this.write(`${name}.pem`, [made, ...above].map(({ pem }) => pem).join(""));
    return { certificate, key: this.write(`${name}.key`, made.key) };
  }

  /** Those of an issuer's path that only read, made beforehand: `subscribe.pem`, `info.pem` and `policy.pem`. */
  async leaves(wish: Wish & { readonly issuer: Made }, ...above: readonly Made[]) {
    const leaf = async (name: string, command: Command) =>
      this.holder(name, await make(".", { isCa: false, ...wish, command }), ...above);
    const entry = {
      subscribe: await leaf("subscribe", SUBSCRIBE),
      info: await leaf("info", INFO),
      policy: await leaf("policy", POLICY_INFO),
    };
    return { issuer: null, certificates: [entry] };
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function policyOf(unikernels: number, memory = 512) {
  const policy = { cpuids: [0, 1], unikernels, memory, block: null, bridges: ["service"] };
  return { class: "policy", command: "add", policy } as const;
}

export const SUBSCRIBE: Command = { class: "stats", command: "subscribe" };
export const INFO: Command = { class: "unikernel", command: "info" };
export const POLICY_INFO: Command = { class: "policy", command: "info" };
