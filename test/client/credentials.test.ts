import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HolderFiles } from "../../src/client/certificates.ts";
import { describePolicy, readCredentials } from "../../src/client/credentials.ts";
import type { TlsConfig } from "../../src/config/target.ts";
import { NO_LIMIT } from "../../src/wire/messages.ts";
import { formatName } from "../../src/wire/names.ts";
import {
  INFO,
  type Made,
  make,
  PemFolder,
  POLICY_INFO,
  policyOf,
  SUBSCRIBE,
} from "../support/certificates.ts";

const folder = new PemFolder();
const SETTINGS = { subscribe: [] as string[], enforcesPolicy: false };
const ALL = { ...SETTINGS, enforcesPolicy: true };

let root: Made;
let user: Made;
let caFile: string;

beforeAll(async () => {
  root = await make("test CA");
  user = await make("user", { issuer: root, command: policyOf(10) });
  caFile = folder.write("ca.pem", root.pem);
});

afterAll(() => folder.remove());

async function read(over: Partial<TlsConfig>, settings: Partial<typeof SETTINGS> = ALL) {
  const address = { text: "metal:1025", host: "metal", port: 1025 };
  const tls = { address, ca: caFile, issuer: null, certificates: null, ...over };
  return readCredentials(tls, { ...SETTINGS, ...settings });
}

const leafFor = async (name: string, command: typeof INFO, issuer: Made | null = null) => {
  const made = await make(name, { issuer: issuer ?? root, command, isCa: false });
  return folder.holder(
    `${name}-${command.class}-${command.command}-${issuer === null}`,
    made,
    ...(issuer ? [issuer] : []),
  );
};

async function entry(name: string, issuer: Made | null = null) {
  const [subscribe, info] = [await leafFor(name, SUBSCRIBE, issuer), await leafFor(name, INFO, issuer)];
  return { subscribe, info, policy: await leafFor(".", POLICY_INFO, issuer) };
}

describe("what is subscribed to follows from the certificates:", () => {
  const names = async (...args: Parameters<typeof read>) => (await read(...args)).subscribe.map(formatName);

  test("the issuer's path, or what is said in it", async () => {
    const issuer = folder.holder("user", user);
    expect(await names({ issuer })).toEqual(["user:"]);
    expect(await names({ issuer }, { ...ALL, subscribe: ["user:a", "user:b"] })).toEqual([
      "user:a",
      "user:b",
    ]);
    expect(await names({ issuer: folder.holder("root", root) })).toEqual([":"]);
  });

  test("the names of those made beforehand", async () => {
    const certificates = [await entry("a"), await entry("b"), await entry(".", user)];
    expect(await names({ certificates })).toEqual([":a", ":b", "user:"]);
  });
});

test("a certificate to subscribe puts no policy in force; those to ask albatrossd do", async () => {
  const { policies } = await read({ certificates: [await entry("a")] }, SETTINGS);
  expect(policies).toEqual([]);
  await expect(read({ certificates: [await entry(".", user)] }, SETTINGS)).rejects.toMatchObject({
    setting: ["enforces_policy"],
  });
});

describe("settings that do not fit the certificates are told of, with what is allowed:", () => {
  type Row = readonly [
    over: Partial<TlsConfig>,
    setting: string,
    text: string,
    settings?: Partial<typeof SETTINGS>,
  ];
  const at = (files: HolderFiles) => files.certificate;

  test.each<[string, () => Promise<Row>]>([
    [
      "an intermediate's policy",
      async () => {
        const issuer = folder.holder("user", user);
        return [
          { issuer },
          "enforces_policy",
          `each question puts the policy of ${at(issuer)} for user: (10 unikernels; 512 MB; cpuids 0, 1; bridges service; no block devices) in force on the host again, and undoes a newer one; allowed: enforces_policy: true, if that is what you want`,
          SETTINGS,
        ];
      },
    ],
    [
      "another path",
      async () => {
        const issuer = folder.holder("user", user);
        const text = `other: is not what ${at(issuer)} reaches; allowed: user:, and names in it such as user:web`;
        return [{ issuer }, "subscribe.1", text, { ...ALL, subscribe: ["user:a", "other:"] }];
      },
    ],
    [
      "a path below",
      async () => {
        const issuer = folder.holder("user", user);
        const text = `user:sub: is not what ${at(issuer)} reaches; allowed: user:, and names in it such as user:web`;
        return [{ issuer }, "subscribe.0", text, { ...ALL, subscribe: ["user:sub:"] }];
      },
    ],
    [
      "an intermediate for a CA",
      async () => {
        const ca = folder.write("not-a-ca.pem", user.pem);
        const text = `${ca}: the certificate "user" is not a CA's own; allowed: the certificate with which the chains end`;
        return [{ ca, issuer: folder.holder("user", user) }, "tls.ca", text];
      },
    ],
    [
      "an issuer that cannot be read",
      async () => {
        const issuer = { certificate: `${folder.path}/none`, key: "none" };
        return [{ issuer }, "tls.issuer", `${folder.path}/none: no such file or directory`];
      },
    ],
    [
      "a certificate for something else",
      async () => {
        const wrong = { ...(await entry("a")), info: await leafFor("a", SUBSCRIBE) };
        const text = `${at(wrong.info)}: is a certificate for stats subscribe; allowed: one for unikernel info`;
        return [{ certificates: [wrong] }, "tls.certificates.0.info", text];
      },
    ],
    [
      "a certificate for another name",
      async () => {
        const wrong = { ...(await entry("a")), info: await leafFor("b", INFO) };
        const text = `${at(wrong.info)}: is a certificate for :b; allowed: one for :a, as the one to subscribe`;
        return [{ certificates: [wrong] }, "tls.certificates.0.info", text];
      },
    ],
    [
      "a policy of another path",
      async () => {
        const wrong = { ...(await entry("a", user)), policy: await leafFor(".", POLICY_INFO) };
        const text = `${at(wrong.policy)}: is a certificate for :; allowed: one for user:, as the one to subscribe`;
        return [{ certificates: [wrong] }, "tls.certificates.0.policy", text];
      },
    ],
    [
      "names that overlap",
      async () => {
        const [all, one] = [await entry("."), await entry("a")];
        const other = `: of ${at(all.subscribe)}`;
        const text = `${at(one.subscribe)}: is a certificate for :a, which overlaps ${other}; allowed: names that share no unikernel`;
        return [{ certificates: [all, one] }, "tls.certificates.1.subscribe", text];
      },
    ],
  ])("%s", async (_, row) => {
    const [over, setting, message, settings] = await row();
    const error = await read(over, settings).catch((error) => error);
    expect({ message: error.message, setting: error.setting?.join(".") }).toEqual({ message, setting });
  });
});

test("a policy without a limit says so", () => {
  const text = describePolicy({ ...policyOf(0).policy, unikernels: NO_LIMIT, block: 20n });
  expect(text).toBe("any number of unikernels; 512 MB; cpuids 0, 1; bridges service; 20 MB of block devices");
});
