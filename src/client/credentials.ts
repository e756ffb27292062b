/** The certificates of a target that is reached by TLS: what they allow, and whether that is what it is set to. */
import type { TargetConfig, TlsConfig } from "../config/target.ts";
import { type Command, NO_LIMIT, type Policy } from "../wire/messages.ts";
import { formatName, type Name, parseName, pathText, subscriptionCovers } from "../wire/names.ts";
import {
  askedBy,
  type Certificate,
  CertificateError,
  type Holder,
  type HolderFiles,
  isIssuedBy,
  kindOf,
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
  const last = policies.at(-1);
  if (last !== undefined && !settings.enforcesPolicy) {
    const what = `${last.file} for ${pathText(last.path)}: (${describePolicy(last.policy)})`;
    throw new SettingError(
      ["enforces_policy"],
      `each question puts the policy of ${what} in force on the host again, and undoes a newer one; allowed: enforces_policy: true, if that is what you want`,
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
      const leaf = await of(["tls", "certificates", index, use], async () => {
        const read = await readLeaf(entry[use], use, ca);
        checkName(read, leaves);
        return read;
      });
      leaves.push(leaf);
      // albatross-stats knows no policies
      if (use !== "subscribe") policies.push(...scopeOf(leaf.holder.chain.slice(1)).policies);
    }
  }
  const subscribe = leaves.filter(({ use }) => use === "subscribe").map(({ name }) => name);
  return { issuer: null, leaves, policies, subscribe };
}

async function readLeaf(files: HolderFiles, use: Use, ca: readonly Certificate[]): Promise<Leaf> {
  const holder = await readHolder(files, ca);
  const { name, command } = askedBy(holder);
  const [found, allowed] = [kindOf(command), kindOf(USES[use])];
  if (found !== allowed) {
    throw new CertificateError(
      `${files.certificate}: is a certificate for ${found}; allowed: one for ${allowed}`,
    );
  }
  return { use, holder, name };
}

/** Each certificate with a key, the way to its setting below `tls`, and it with those above it that it depends on. */
export function holdersOf({ issuer, leaves }: Credentials) {
  const entry = (use: Use | "issuer", holder: Holder, ...setting: SettingError["setting"]) => {
    const { chain, certificate } = holder;
    return { use, setting, holder, files: chain.length === 0 ? [certificate] : chain };
  };
  if (issuer !== null) return [entry("issuer", issuer.holder, "issuer")];
  return leaves.map(({ use, holder }, index) =>
    entry(use, holder, "certificates", Math.floor(index / 3), use),
  );
}

/** The three of one entry are about the same; no two entries overlap. */
function checkName({ use, name, holder }: Leaf, earlier: readonly Leaf[]): void {
  const { file } = holder.certificate;
  const is = `${file}: is a certificate for ${formatName(name)}`;
  if (use === "subscribe") {
    const overlapping = earlier.find(
      (one) => one.use === use && (subscriptionCovers(one.name, name) || subscriptionCovers(name, one.name)),
    );
    if (overlapping === undefined) return;
    const other = `${formatName(overlapping.name)} of ${overlapping.holder.certificate.file}`;
    throw new CertificateError(`${is}, which overlaps ${other}; allowed: names that share no unikernel`);
  }
  const asked = earlier.findLast((one) => one.use === "subscribe");
  if (asked === undefined) return;
  const wanted = use === "info" ? asked.name : { path: asked.name.path, label: null };
  if (formatName(name) === formatName(wanted)) return;
  throw new CertificateError(`${is}; allowed: one for ${formatName(wanted)}, as the one to subscribe`);
}

/** `10 unikernels, 512 MB, cpuids 0 and 1, ...` */
export function describePolicy({ unikernels, memory, cpuids, bridges, block }: Policy): string {
  const list = (what: string, of: readonly unknown[]) =>
    `${what} ${of.length === 0 ? "none" : of.join(", ")}`;
  const parts = [
    BigInt(unikernels) === NO_LIMIT ? "any number of unikernels" : `${unikernels} unikernels`,
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
