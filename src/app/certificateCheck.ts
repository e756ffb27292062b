/** `check-config`: whether the certificates of targets that are reached by TLS are what their settings say. */
import type { Certificate } from "../client/certificates.ts";
import {
  type Credentials,
  describePolicy,
  holdersOf,
  readCredentials,
  SettingError,
} from "../client/credentials.ts";
import { type Path, type Problem, readTextFile, YamlFile } from "../config/checkedYaml.ts";
import type { Config } from "../config/sections.ts";
import { overlapOf, type TargetConfig } from "../config/target.ts";
import { formatName, type Name, pathText } from "../wire/names.ts";

const SOON_MS = 14 * 86_400_000;

export interface CertificateReport {
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** what each target reaches, and what it does to the host by that */
  readonly lines: readonly string[];
}

/** Reads the certificates of every target, at a wall time. `file` is the one that the configuration was read from. */
export async function checkCertificates(
  file: string,
  { targets, scaler }: Pick<Config, "targets" | "scaler">,
  nowMs: number,
): Promise<CertificateReport> {
  const read = readTextFile(file);
  const document = new YamlFile(file, read.ok ? read.text : "");
  const report = { errors: [] as Problem[], warnings: [] as Problem[], lines: [] as string[] };
  const told = (kind: "errors" | "warnings", path: Path, text: string) =>
    report[kind].push(document.problem(path, text));

  // a policy for every host is one for the only one
  const only = targets.length === 1 ? (targets[0]?.name ?? null) : null;
  /** by address */
  const subscribed = new Map<string, (readonly [target: number, names: readonly Name[]])[]>();
  for (const [index, target] of targets.entries()) {
    const { tls, name } = target;
    if (tls === null) continue;
    const at = (...setting: Path) => ["targets", index, ...setting];
    try {
      const found = await readCredentials(tls, target);
      const address = tls.address.text.toLowerCase();
      for (const [earlier, names] of subscribed.get(address) ?? []) {
        const overlap = found.subscribe.map((one) => overlapOf(one, names)).find((text) => text !== null);
        if (overlap)
          told("errors", at("tls", "address"), `is the one of targets[${earlier}] too: ${overlap}`);
      }
      subscribed.set(address, [...(subscribed.get(address) ?? []), [index, found.subscribe]]);
      if (target.enforcesPolicy && found.policies.length === 0)
        told("warnings", at("enforces_policy"), "has no effect: the certificates hold no policy");
      if (target.allowRoot && found.issuer?.path.length !== 0)
        told("warnings", at("allow_root"), "has no effect: the certificates do not act at the root");
      for (const { setting, holder, files } of holdersOf(found)) {
        for (const one of files)
          checkTimes(one, nowMs, (kind, text) => told(kind, at("tls", ...setting), text));
        if (holder.isKeyOpen)
          told(
            "warnings",
            at("tls", ...setting, "key"),
            "everyone on this machine may read it: chmod 600, or 640",
          );
      }
      for (const one of found.ca) checkTimes(one, nowMs, (kind, text) => told(kind, at("tls", "ca"), text));
      report.lines.push(
        `${name}: subscribes to ${found.subscribe.map(formatName).join(", ")} by ${tls.address.text}`,
      );
      const inForce = new Map<string, { readonly file: string; readonly text: string }>();
      for (const { path, policy, file } of found.policies) {
        const [place, text] = [pathText(path), describePolicy(policy)];
        const puts = `puts the policy of ${file} for ${place}: in force`;
        report.lines.push(`${name}: ${puts} again at each question: ${text}`);
        const other = inForce.get(place);
        if (other !== undefined && other.text !== text)
          told("warnings", at("tls"), `${puts}, and then another, of ${other.file}: each undoes the other`);
        inForce.set(place, { file, text });
      }
      const policies = scaler.policies.map((policy) => ({ ...policy, host: policy.host ?? only }));
      for (const [kind, policy, text] of whatCannotAct(found, target, { mode: scaler.mode, policies }))
        told(kind, ["scaler", "policies", policy, "mode"], text);
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      told("errors", at(...error.setting), error.message);
    }
  }
  return report;
}

function checkTimes(
  { file, notBeforeMs, notAfterMs, commonName }: Certificate,
  nowMs: number,
  tell: (kind: "errors" | "warnings", text: string) => void,
): void {
  const who = `${file}: the certificate ${JSON.stringify(commonName ?? "")}`;
  const [from, until] = [notBeforeMs, notAfterMs].map((ms) => new Date(ms).toISOString());
  if (nowMs < notBeforeMs) tell("errors", `${who} is not valid before ${from}`);
  else if (nowMs > notAfterMs) tell("errors", `${who} has expired at ${until}`);
  else if (notAfterMs - nowMs < SOON_MS) tell("warnings", `${who} expires at ${until}`);
}

/** The policies, by index, that act on this host, which they cannot; why, and what is allowed. */
function whatCannotAct(
  { issuer, subscribe }: Credentials,
  { name: host, allowRoot }: Pick<TargetConfig, "name" | "allowRoot">,
  { mode, policies }: Pick<Config["scaler"], "mode" | "policies">,
): (readonly [kind: "errors" | "warnings", index: number, text: string])[] {
  if (mode !== "execute") return [];
  const whyNever =
    issuer === null
      ? "whose certificates only read; allowed: mode: dry_run"
      : issuer.path.length === 0 && !allowRoot
        ? "whose issuer's certificate has no policy; allowed: mode: dry_run, or allow_root: true for the target"
        : null;
  return policies.flatMap((policy, index): (readonly ["errors" | "warnings", number, string])[] => {
    if (policy.mode !== "execute" || (policy.host ?? host) !== host) return [];
    const acts = `acts on ${policy.match} of ${host}`;
    // one for every host acts on the others
    const kind = policy.host === null ? "warnings" : "errors";
    if (whyNever !== null) {
      if (kind === "warnings" && !subscribe.some(({ path }) => mayMatch(policy.match, path))) return [];
      return [[kind, index, `${acts}, ${whyNever}`]];
    }
    if (issuer === null || policy.host === null || mayMatch(policy.match, issuer.path)) return [];
    const reached = formatName({ path: issuer.path, label: null });
    return [[kind, index, `${acts}, whose issuer reaches only ${reached}; allowed: mode: dry_run`]];
  });
}

/** Whether a glob may match a unikernel of exactly this path. */
function mayMatch(glob: string, path: readonly string[]): boolean {
  const place = `${pathText(path)}:`;
  const plain = /^[^*?[]*/.exec(glob)?.[0] ?? "";
  if (plain.length < place.length) return plain !== glob && place.startsWith(plain);
  return plain.startsWith(place) && !plain.includes(":", place.length);
}
