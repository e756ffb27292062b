/** The certificates of a target that is reached by TLS: what they allow, and whether that is what it is set to. */
import type { TargetConfig, TlsConfig } from "../config/target.ts";
import type { Command, Policy } from "../wire/messages.ts";
import { formatName, type Name, parseName, pathText, subscriptionCovers } from "../wire/names.ts";
import {
  askedBy,
  type Certificate,
  CertificateError,
  type Holder,
  type HolderFiles,
  isIssuedBy,
  readCertificates,
  readHolder,
  type Scope,
  scopeOf,
} from "./certificates.ts";

/** What a certificate made beforehand is for. */
export const USES = {
  subscribe: { class: "stats", command: "subscribe" },
  info: { class: "unikernel", command: "info" },
  policy: { class: "policy", command: "info" },
} as const satisfies Record<string, Command>;
export type Use = keyof typeof USES;

export interface Leaf {
  readonly use: Use;
  readonly holder: Holder;
  readonly name: Name;
}

export interface Credentials {
  readonly ca: readonly Certificate[];
  /** makes leaves for names in its path; null where there are only `leaves` */
  readonly issuer: { readonly holder: Holder; readonly path: readonly string[] } | null;
  readonly leaves: readonly Leaf[];
  /** each is applied to the host again with each command to albatrossd */
  readonly policies: Scope["policies"];
  readonly subscribe: readonly Name[];
}

/** Settings that do not fit the certificates. `setting` is the way to one below the target: `["tls", "ca"]`. */
export class SettingError extends CertificateError {
  readonly setting: readonly (string | number)[];

  constructor(setting: SettingError["setting"], message: string) {
    super(message);
    this.setting = setting;
  }
}

type Settings = Pick<TargetConfig, "subscribe" | "enforcesPolicy">;

/** Reads a target's certificates, and checks them against its settings. Throws a SettingError. */
export async function readCredentials(tls: TlsConfig, settings: Settings): Promise<Credentials> {
  const ca = await of(["tls", "ca"], async () => {
    const found = await readCertificates(tls.ca);
    const other = found.find(({ x509 }) => !isIssuedBy(x509, x509));
    if (other === undefined) return found;
    const text = `${tls.ca}: the certificate ${JSON.stringify(other.commonName ?? "")} is not a CA's own`;
    throw new CertificateError(`${text}; allowed: the certificate with which the chains end`);
  });
  const { policies, ...read } =
    tls.issuer === null ? await readLeaves(tls, ca) : await readIssuer(tls.issuer, ca, settings);
  if (policies.length > 0 && !settings.enforcesPolicy) {
    const [first] = policies.toReversed();
    const what = first === undefined ? "" : `${pathText(first.path)}: (${describePolicy(first.policy)})`;
    throw new SettingError(
      ["enforces_policy"],
      `each question puts the policy of ${first?.file} for ${what} in force on the host again, and undoes a newer one; allowed: true, if that is what you want`,
    );
  }
  return { ca, policies, ...read };
}

async function readIssuer(files: HolderFiles, ca: readonly Certificate[], settings: Settings) {
  const { holder, path, policies } = await of(["tls", "issuer"], async () => {
    const found = await readHolder(files, ca);
    return { holder: found, ...scopeOf(found.chain) };
  });
  const own = { path, label: null };
  const subscribe = settings.subscribe.map((text) => parseName(text));
  for (const [index, name] of subscribe.entries()) {
    if (pathText(name.path) === pathText(path)) continue;
    const allowed = `${formatName(own)}, and names in it such as ${formatName({ path, label: "web" })}`;
    throw new SettingError(
      ["subscribe", index],
      `${formatName(name)} is not what ${files.certificate} reaches; allowed: ${allowed}`,
    );
  }
  return {
    issuer: { holder, path },
    leaves: [],
    policies,
    subscribe: subscribe.length === 0 ? [own] : subscribe,
  };
}

async function readLeaves({ certificates }: TlsConfig, ca: readonly Certificate[]) {
  const leaves: Leaf[] = [];
  const policies: Scope["policies"][number][] = [];
  for (const [index, entry] of (certificates ?? []).entries()) {
    for (const use of ["subscribe", "info", "policy"] as const) {
      const { leaf, scope } = await of(["tls", "certificates", index, use], () =>
        readLeaf(entry[use], use, ca),
      );
      const asked = leaves.findLast((one) => one.use === "subscribe");
      checkName(leaf, asked, ["tls", "certificates", index, use], leaves);
      leaves.push(leaf);
      // albatross-stats knows no policies
      if (use !== "subscribe") policies.push(...scope.policies);
    }
  }
  const subscribe = leaves.filter(({ use }) => use === "subscribe").map(({ name }) => name);
  return { issuer: null, leaves, policies, subscribe };
}

async function readLeaf(files: HolderFiles, use: Use, ca: readonly Certificate[]) {
  const holder = await readHolder(files, ca);
  const { name, command } = askedBy(holder);
  const wanted = USES[use];
  if (command.class !== wanted.class || command.command !== wanted.command) {
    const [found, allowed] = [command, wanted].map((one) => `${one.class} ${one.command}`);
    throw new CertificateError(
      `${files.certificate}: is a certificate for ${found}; allowed: one for ${allowed}`,
    );
  }
  return { leaf: { use, holder, name }, scope: scopeOf(holder.chain.slice(1)) };
}

/** The three of one entry are about the same; no two entries overlap. */
function checkName(
  { use, name, holder }: Leaf,
  asked: Leaf | undefined,
  setting: SettingError["setting"],
  earlier: readonly Leaf[],
): void {
  const { file } = holder.certificate;
  const is = `${file}: is a certificate for ${formatName(name)}`;
  if (use === "subscribe") {
    const overlapping = earlier.find(
      (one) => one.use === use && (subscriptionCovers(one.name, name) || subscriptionCovers(name, one.name)),
    );
    if (overlapping === undefined) return;
    const other = `${formatName(overlapping.name)} of ${overlapping.holder.certificate.file}`;
    throw new SettingError(setting, `${is}, which overlaps ${other}; allowed: names that share no unikernel`);
  }
  if (asked === undefined) return;
  const wanted = use === "info" ? asked.name : { path: asked.name.path, label: null };
  if (formatName(name) === formatName(wanted)) return;
  throw new SettingError(setting, `${is}; allowed: one for ${formatName(wanted)}, as the one to subscribe`);
}

/** `10 unikernels, 512 MB, cpuids 0 and 1, ...` */
export function describePolicy({ unikernels, memory, cpuids, bridges, block }: Policy): string {
  const list = (what: string, of: readonly unknown[]) =>
    `${what} ${of.length === 0 ? "none" : of.join(", ")}`;
  const parts = [
    `${unikernels} unikernels`,
    `${memory} MB`,
    list(
      "cpuids",
      [...cpuids].sort((a, b) => Number(a) - Number(b)),
    ),
    list("bridges", [...bridges].sort()),
  ];
  return [...parts, block === null ? "no block devices" : `${block} MB of block devices`].join("; ");
}

/** What goes wrong with a file is told of the setting that names it. */
async function of<T>(setting: SettingError["setting"], read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof CertificateError) || error instanceof SettingError) throw error;
    throw new SettingError(setting, error.message);
  }
}
