import "reflect-metadata"; // before @peculiar/x509
import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { X509Certificate as Parsed } from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  askedBy,
  type Certificate,
  identityOf,
  issue,
  readCertificates,
  readHolder,
  scopeOf,
} from "../../src/client/certificates.ts";
import { CERTIFICATE_EXTENSION, type Command, decodeCertificateCommand } from "../../src/wire/messages.ts";
import { INFO, type Kind, type Made, make, PemFolder, policyOf, SUBSCRIBE } from "../support/certificates.ts";
import { certificateExtensions } from "../wire/support/vectors.ts";

const TEN_MINUTES_MS = 600_000;
const DESTROY: Command = { class: "unikernel", command: "destroy" };

const folder = new PemFolder();
let root: Made;
let ca: readonly Certificate[];

beforeAll(async () => {
  root = await make("albatross CA");
  ca = await readCertificates(folder.write("ca.pem", root.pem));
});

afterAll(() => folder.remove());

/** An intermediate for the path `user:`. */
const user = (wish = {}) => make("user", { issuer: root, command: policyOf(10), ...wish });

describe.each<Kind>(["Ed25519", "P-256"])("a leaf made by an issuer with a key of kind %s", (kind) => {
  async function leaf(command: Command, label: string | null) {
    const files = folder.holder(kind, await user({ kind }));
    const holder = await readHolder(files, ca);
    const nowMs = Date.now();
    return { nowMs, made: await issue(holder, { label, command }, nowMs, TEN_MINUTES_MS) };
  }

  test("has the name, the times and a key of that kind, and comes before its issuer", async () => {
    const { nowMs, made } = await leaf(INFO, null);
    const [first = "", issuer = "", ...rest] = made.certificates.split(/(?<=-----END CERTIFICATE-----\n)/);
    const x509 = new X509Certificate(first);
    expect(x509.subject).toBe("CN=.");
    expect(x509.issuer).toBe("CN=user");
    expect(rest).toEqual([]);
    expect(x509.verify(new X509Certificate(issuer).publicKey)).toBe(true);
    const { notBefore, notAfter, publicKey } = new Parsed(first);
    const inSeconds = (ms: number) => Math.floor(ms / 1000);
    expect(inSeconds(notBefore.getTime())).toBe(inSeconds(nowMs) - 3600);
    expect(inSeconds(notAfter.getTime())).toBe(inSeconds(nowMs) + 600);
    expect(publicKey.algorithm).toMatchObject(kind === "P-256" ? { namedCurve: kind } : { name: kind });
    expect(made.key).toMatch(/^-----BEGIN PRIVATE KEY-----\n[\w+/=\n]+-----END PRIVATE KEY-----\n$/);
  });

  test("verifies with openssl", { tags: ["process"] }, async () => {
    for (const [label, command] of [
      [null, SUBSCRIBE],
      ["web", DESTROY],
    ] as const) {
      const { made } = await leaf(command, label);
      const file = folder.write("leaf.pem", made.certificates);
      const args = ["verify", "-CAfile", `${folder.path}/ca.pem`, "-untrusted", file, file];
      expect(execFileSync("openssl", args, { encoding: "utf8" })).toBe(`${file}: OK\n`);
    }
  });
});

test.each(certificateExtensions)("a leaf's extension for $name is Albatross' own bytes", async ({ hex }) => {
  const holder = await readHolder(folder.holder("root", root), ca);
  const command = decodeCertificateCommand(Buffer.from(hex, "hex"));
  const { certificates } = await issue(holder, { label: "web", command }, Date.now(), TEN_MINUTES_MS);
  // The CA's own certificate is not shown: the leaf is alone.
  expect(certificates.match(/BEGIN/g)).toHaveLength(1);
  const extension = new Parsed(certificates).getExtension(CERTIFICATE_EXTENSION);
  expect(Buffer.from(extension?.value ?? new ArrayBuffer()).toString("hex")).toBe(hex);
  expect(extension?.critical).toBe(false);
});

describe("the path follows from the intermediates that carry a policy:", () => {
  test("each adds its common name, in lower case, the one below the CA first", async () => {
    const outer = await user();
    const plain = await make("operators", { issuer: outer });
    const inner = await make("Sub", { issuer: plain, command: policyOf(3) });
    const { chain } = await readHolder(folder.holder("sub", inner, plain, outer, root), ca);
    const { path, policies } = scopeOf(chain);
    expect(path).toEqual(["user", "sub"]);
    expect(policies.map((one) => [one.path, one.policy.unikernels])).toEqual([
      [["user"], 10],
      [["user", "sub"], 3],
    ]);
  });

  test("the CA, and one without the extension, act at the root", async () => {
    for (const files of [
      folder.holder("root", root, root),
      folder.holder("plain", await make("operators", { issuer: root })),
    ]) {
      const { chain } = await readHolder(files, ca);
      expect(scopeOf(chain)).toEqual({ path: [], policies: [] });
    }
  });

  test.each([
    ["user:web", policyOf(1), 'common name is "user:web"; allowed: the one label that it adds to the path'],
    [".", policyOf(1), 'common name is "."; allowed: the one label that it adds to the path'],
    ["", policyOf(1), 'common name is ""; allowed: the one label that it adds to the path'],
    ["user", INFO, "Albatross extension is unikernel info, which the endpoint refuses; allowed: a policy"],
  ])("%j with %j is refused", async (name, command, text) => {
    const files = folder.holder("bad", await make(name, { issuer: root, command }));
    const { chain } = await readHolder(files, ca);
    expect(() => scopeOf(chain)).toThrow(`${files.certificate}: an issuer's ${text}`);
  });
});

describe("a leaf made beforehand", () => {
  test("says whom and what it asks", async () => {
    const issuer = await user();
    for (const [commonName, label] of [
      [".", null],
      ["", null],
      ["WEB", "web"],
    ] as const) {
      const made = await make(commonName, { issuer, command: INFO, isCa: false });
      const holder = await readHolder(folder.holder("leaf", made, issuer), ca);
      expect(askedBy(holder)).toEqual({ name: { path: ["user"], label }, command: INFO });
      expect(identityOf(holder.chain, holder.key).certificates.match(/BEGIN/g)).toHaveLength(2);
    }
  });

  test.each([
    ["web", {}, "the certificate has no Albatross extension: it allows nothing"],
    ["user:web", { command: INFO }, 'the common name "user:web" is no label'],
  ])("%s with %j is refused", async (commonName, wish, text) => {
    const made = await make(commonName, { issuer: root, isCa: false, ...wish });
    const files = folder.holder("leaf", made);
    const holder = await readHolder(files, ca);
    expect(() => askedBy(holder)).toThrow(`${files.certificate}: ${text}`);
  });
});

describe("files that cannot be used are told by name:", () => {
  const CHAIN = "a chain from it up to that CA, each issued by the next";
  test.each<[string, () => Promise<readonly [files: { certificate: string; key: string }, text: string]>]>([
    [
      "no file",
      async () => {
        const files = { certificate: `${folder.path}/none.pem`, key: `${folder.path}/none.key` };
        return [files, `${files.certificate}: no such file or directory`];
      },
    ],
    [
      "a folder",
      async () => {
        return [{ certificate: folder.path, key: "" }, `${folder.path}: it is no file of at most 1 MiB`];
      },
    ],
    [
      "no PEM",
      async () => {
        const certificate = folder.write("text.pem", "hello\n");
        return [{ certificate, key: certificate }, `${certificate}: holds no certificate in PEM`];
      },
    ],
    [
      "PEM of something else",
      async () => {
        const text = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        const certificate = folder.write("other.pem", text);
        return [{ certificate, key: certificate }, `${certificate}: a certificate cannot be read: `];
      },
    ],
    [
      "an extension of another version",
      async () => {
        const extension = Buffer.from("3009020106a304b3020500", "hex");
        const files = folder.holder("version", await make("web", { issuer: root, extension }));
        const what = "the certificate's Albatross extension cannot be read";
        return [files, `${files.certificate}: ${what}: version: expected 5, found 6`];
      },
    ],
    [
      "a critical extension",
      async () => {
        const files = folder.holder(
          "critical",
          await make("web", { issuer: root, command: INFO, isCritical: true }),
        );
        const text = "the certificate's Albatross extension is critical, which the endpoint refuses";
        return [files, `${files.certificate}: ${text}; allowed: one that is not`];
      },
    ],
    [
      "a foreign CA",
      async () => {
        const files = folder.holder("foreign", await make("web", { issuer: await make("albatross CA") }));
        const text = `the certificate "web" is not issued by the CA of ${folder.path}/ca.pem; allowed: ${CHAIN}`;
        return [files, `${files.certificate}: ${text}`];
      },
    ],
    [
      "a chain that is not one",
      async () => {
        const files = folder.holder("mixed", await make("web", { issuer: await user() }), await user());
        const text = `the certificate "web" is not issued by the one after it; allowed: ${CHAIN}`;
        return [files, `${files.certificate}: ${text}`];
      },
    ],
    [
      "another's key",
      async () => {
        const { certificate } = folder.holder("one", await user());
        const { key } = folder.holder("two", await user());
        return [{ certificate, key }, `${key}: is not the key of ${certificate}`];
      },
    ],
    [
      "no key",
      async () => {
        const { certificate } = folder.holder("one", await user());
        return [{ certificate, key: certificate }, `${certificate}: holds no private key in PEM`];
      },
    ],
    [
      "a key that is cut",
      async () => {
        const made = await user();
        const key = folder.write("cut.key", made.key.replace(/.{9}\n-----END/, "-----END"));
        return [{ ...folder.holder("one", made), key }, `${key}: the key cannot be read: `];
      },
    ],
    [
      "a key with a passphrase",
      async () => {
        const made = await user();
        const wish = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" } as const;
        const key = folder.write("locked.key", createPrivateKey(made.key).export(wish).toString());
        const text = `${key}: the key has a passphrase; allowed: one without, as openssl pkey -in ${key} `;
        return [{ ...folder.holder("one", made), key }, text];
      },
    ],
    [
      "the CA before an intermediate",
      async () => {
        const files = folder.holder("backwards", root, await user());
        const text = "the CA's certificate is before others; allowed: it at the end, or not at all";
        return [files, `${files.certificate}: ${text}`];
      },
    ],
  ])("%s", async (_, prepare) => {
    const [files, text] = await prepare();
    const reading = readHolder(files, ca);
    await expect(reading).rejects.toThrow(text);
    await expect(reading).rejects.toHaveProperty("name", "CertificateError");
    await expect(reading).rejects.not.toThrow("PRIVATE KEY");
  });
});

test.each([
  [0o600, false],
  [0o640, false],
  [0o644, true],
])("a key of mode %o: readable by all is %s", async (mode, isOpen) => {
  const made = await user();
  const files = { ...folder.holder("mode", made), key: folder.write("mode.key", made.key, mode) };
  expect((await readHolder(files, ca)).isKeyOpen).toBe(isOpen);
});
