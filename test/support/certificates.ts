import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;

type Keys = Awaited<ReturnType<typeof newKeys>>;

/** A certificate in PEM with its key. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly keys: Keys;
  readonly name: string;
}

interface Wanted {
  readonly sans?: x509.JsonGeneralNames;
  readonly isCa?: boolean;
}

/** A certificate of this common name, valid for a day; signed by itself or by `issuer`. */
export async function issue(name: string, wanted: Wanted = {}, issuer?: Issued): Promise<Issued> {
  const { sans = [], isCa = false } = wanted;
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: `CN=${name}`,
      issuer: `CN=${issuer?.name ?? name}`,
      publicKey: keys.publicKey,
      signingKey: (issuer?.keys ?? keys).privateKey,
      signingAlgorithm: ALGORITHM,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      extensions: [
        new x509.BasicConstraintsExtension(isCa, undefined, true),
        ...(sans.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(sans)]),
      ],
    },
    webcrypto,
  );
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    cert: `${certificate.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(key, "PRIVATE KEY")}\n`,
    keys,
    name,
  };
}

function newKeys() {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}
