/** A host that is reached by way of albatross-tls-endpoint: one connection per command, which is in the certificate. */
import { stat } from "node:fs/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Clock } from "../clock.ts";
import type { TargetConfig, TlsConfig } from "../config/target.ts";
import type { NamedPolicy } from "../wire/messages.ts";
import { formatName, type Name, pathText } from "../wire/names.ts";
import {
  type Certificate,
  CertificateError,
  type Identity,
  identityOf,
  isServerOf,
  issue,
  kindOf,
} from "./certificates.ts";
import { type Credentials, describePolicy, holdersOf, readCredentials, USES } from "./credentials.ts";
import {
  DAEMON_ENDED,
  type Daemon,
  type Endpoint,
  excerpt,
  isCertificateRefused,
  type Line,
  type NotActing,
  POLICY_REFUSED,
  type Put,
  SERVICE_DOWN,
} from "./endpoint.ts";
import { CONNECT_TIMEOUT_MS, DialError, dialTls, HANDSHAKE_TIMEOUT_MS } from "./tlsLine.ts";

/** Leaves made at run time are good for so long, and used for as long but for the time of a handshake. */
const LEAF_VALID_MS = 10 * 60_000;
const LEAF_MARGIN_MS = 15_000;

const ONLY_ITS_LOG = "only the endpoint's log says why";
const SERVICES: Readonly<Record<Daemon, string>> = { stat: "albatross-stats", vmmd: "albatrossd" };

/** One certificate that the target depends on. */
export interface CertificateStatus {
  /** its file; `server` for the one that the host shows */
  readonly certificate: string;
  readonly use: "ca" | "issuer" | "subscribe" | "info" | "policy" | "server";
  /** ms since the epoch: until when it and what is above it in the file are valid */
  readonly notAfterMs: number;
}

type Settings = Pick<TargetConfig, "subscribe" | "enforcesPolicy" | "allowRoot">;

/** What is shown in a handshake; good from `fromMs` on. */
interface Shown {
  readonly context: SecureContext;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** `refresh` reads the files, at first and whenever they may have changed; until then nothing is reached. */
export class TlsEndpoint implements Endpoint {
  readonly isRemote = true;
  readonly #tls: TlsConfig;
  readonly #settings: Settings;
  readonly #clock: Clock;
  #credentials: Credentials | null = null;
  #fingerprint = "";
  #shown = new Map<string, Shown>();
  #serverNotAfterMs: number | null = null;
  /** what is wrong with the files as they are now; those that were right before stay in use */
  problem: string | null = null;
  /** They are for other names than at first. */
  isOutdated = false;

  constructor(tls: TlsConfig, settings: Settings, clock: Clock) {
    this.#tls = tls;
    this.#settings = settings;
    this.#clock = clock;
  }

  /** Null until the files could be read. */
  get credentials(): Credentials | null {
    return this.#credentials;
  }

  get certificates(): readonly CertificateStatus[] {
    if (this.#credentials === null) return [];
    const status = (use: CertificateStatus["use"], files: readonly Certificate[]): CertificateStatus => ({
      certificate: files[0]?.file ?? "",
      use,
      notAfterMs: Math.min(...files.map((one) => one.notAfterMs)),
    });
    const all = [status("ca", this.#credentials.ca)];
    for (const { use, files } of this.#holders) all.push(status(use, files));
    if (this.#serverNotAfterMs !== null)
      all.push({ certificate: "server", use: "server", notAfterMs: this.#serverNotAfterMs });
    // a file may be in more than one place
    return [...new Map(all.map((one) => [one.certificate, one])).values()];
  }

  /** Key files that everyone on this machine may read. */
  get openKeys(): readonly string[] {
    return this.#holders.flatMap(({ holder }) => (holder.isKeyOpen ? [holder.keyFile] : []));
  }

  get #holders() {
    return this.#credentials === null ? [] : holdersOf(this.#credentials);
  }

  /** Reads the files if they are others than before. What is wrong with them is in `problem` then. True for new ones. */
  async refresh(): Promise<boolean> {
    const fingerprint = await fingerprintOf(this.#tls);
    if (fingerprint === this.#fingerprint && this.problem === null) return false;
    try {
      const read = await readCredentials(this.#tls, this.#settings);
      this.#checkSubscribed(read);
      this.problem = null;
      if (fingerprint === this.#fingerprint) return false;
      this.#credentials = read;
      this.#fingerprint = fingerprint;
      this.#shown = new Map();
      return true;
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      this.problem = error.message;
      return false;
    }
  }

  #checkSubscribed({ subscribe }: Credentials): void {
    const [before, now] = [this.#credentials?.subscribe ?? subscribe, subscribe].map((names) =>
      names.map(formatName).join(", "),
    );
    this.isOutdated = before !== now;
    if (!this.isOutdated) return;
    throw new CertificateError(
      `the certificates are for ${now} now, they were for ${before}: reload the configuration`,
    );
  }

  /** Nothing that says who we are is sent before the server is known to be the CA's own. */
  async dial(_: Daemon, put: Put, signal: AbortSignal): Promise<Line> {
    if (this.#credentials === null) throw new DialError("TLS_FILES");
    const { ca, issuer } = this.#credentials;
    if (issuer?.path.length === 0 && !this.#settings.allowRoot && !isQuestion(put))
      throw new DialError("TLS_ROOT");
    const context = await this.#context(this.#credentials, put);
    const line = await dialTls(this.#tls.address, context, put, this.#clock, signal);
    const server = line.socket.getPeerX509Certificate();
    if (server === undefined || !(await isServerOf(ca, server))) {
      line.socket.destroy();
      throw new DialError("TLS_SERVER");
    }
    this.#serverNotAfterMs = Date.parse(server.validTo);
    return line;
  }

  reaches(name: Name): boolean {
    const { issuer = null, leaves = [] } = this.#credentials ?? {};
    if (issuer !== null) return isBelow(issuer.path, name);
    return leaves.some((leaf) => leaf.use === "info" && formatName(leaf.name) === formatName(name));
  }

  /** Where the host has another policy than the certificates put in force; null where it has not. */
  policyDifference(found: readonly NamedPolicy[]): string | null {
    for (const { path, policy, file } of this.#credentials?.policies ?? []) {
      const text = pathText(path);
      const there = found.find(({ name }) => pathText(name.path) === text)?.policy;
      if (there === undefined || describePolicy(there) === describePolicy(policy)) continue;
      return `${text}: has ${describePolicy(there)}; ${file} puts ${describePolicy(policy)} in force again at each question`;
    }
    return null;
  }

  whyNotActing(path: readonly string[]): NotActing | null {
    if (this.#credentials === null) return null;
    const { issuer } = this.#credentials;
    if (issuer === null) return { reason: "read_only", text: this.describe("vmmd", "TLS_READ_ONLY") };
    if (!isBelow(issuer.path, { path, label: null }))
      return { reason: "path", text: this.describe("vmmd", "TLS_PATH") };
    if (path.length > 0 || this.#settings.allowRoot) return null;
    return { reason: "read_only", text: this.describe("vmmd", "TLS_ROOT") };
  }

  async #context(credentials: Credentials, put: Put): Promise<SecureContext> {
    const nowMs = this.#clock.wallMs();
    const key = `${kindOf(put.command)} ${formatName(put.name)}`;
    // of these files: others may be read while a leaf is made
    const all = this.#shown;
    const known = all.get(key);
    if (known !== undefined && known.fromMs <= nowMs && nowMs < known.untilMs) return known.context;
    const { certificates, key: ownKey } = await identityFor(credentials, put, nowMs);
    const context = createSecureContext({
      ca: credentials.ca.map(({ x509 }) => x509.toString()),
      cert: certificates,
      key: ownKey,
      minVersion: "TLSv1.3",
    });
    const shown = { context, fromMs: nowMs, untilMs: nowMs + LEAF_VALID_MS - LEAF_MARGIN_MS };
    for (const [old, { untilMs }] of all) if (untilMs <= nowMs) all.delete(old);
    // One that acts may hold secrets, and is used once.
    if (isQuestion(put)) all.set(key, shown);
    return context;
  }

  describe(daemon: Daemon, code: string | null): string {
    const at = this.#tls.address.text;
    if (code !== null && /ALERT_\w*EXPIRED$/.test(code))
      return `${at} refuses the certificate as not valid now: ${this.#whoseClock()}`;
    switch (code) {
      case null:
      case "EPIPE": // closed while something was written
        return (
          `${at} closes the connection without a reason: ${ONLY_ITS_LOG}; likely: ` +
          `${SERVICES[daemon]} or the endpoint ended in the middle, or this Albatross is older than 2.7`
        );
      case "CONNECT_TIMEOUT":
        return `${at} does not take the connection within ${CONNECT_TIMEOUT_MS / 1000} s: is the host up, does a firewall drop it?`;
      case "HANDSHAKE_TIMEOUT":
        return `${at} takes the connection, but does not answer the TLS handshake within ${HANDSHAKE_TIMEOUT_MS / 1000} s`;
      case "ECONNREFUSED":
        return `nobody listens on ${at}: is albatross-tls-endpoint running?`;
      case "ECONNRESET":
        return `${at} breaks the connection off (${code}): was the endpoint restarted, or does a firewall or something else answer there?`;
      case "EHOSTUNREACH":
      case "ENETUNREACH":
      case "ETIMEDOUT":
        return `there is no way to ${at} (${code}): is the host up, is its address right?`;
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return `the name of ${at} is not known (${code})`;
      case "TLS_FILES":
        return this.problem ?? "the certificates are not read yet";
      case "TLS_PATH":
        return `the certificates do not reach that name: ${this.#whatIsReached()}`;
      case "TLS_READ_ONLY":
        return "certificates made beforehand only read: to act takes an issuer";
      case "TLS_ROOT":
        return `${this.#tls.issuer?.certificate} has no policy: what it issues may do anything at the root of the host, so it only reads without allow_root: true`;
      case "TLS_SERVER":
        return `${at} shows a certificate that the CA has not issued for a server: another holder of a certificate may pose as the host; nothing was sent`;
      case "CERT_HAS_EXPIRED":
      case "CERT_NOT_YET_VALID": {
        const wrong = code === "CERT_HAS_EXPIRED" ? "has expired" : "is not valid yet";
        return `the certificate of ${at}, or its CA's, ${wrong} by this machine's clock, ${timeText(this.#clock.wallMs())}`;
      }
      default:
    }
    const ca = `the CA of ${this.#tls.ca}`;
    if (/^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_SIGNATURE_)/.test(code))
      return `the certificate of ${at} is not issued by ${ca} (${code})`;
    if (!code.startsWith("ERR_SSL_"))
      return isCertificateRefused(code)
        ? `the certificate of ${at}, or its CA's, says that it is for something else than this (${code})`
        : `${at}: ${code}`;
    if (/ALERT_(BAD_CERTIFICATE|UNKNOWN_CA)$/.test(code))
      return `${at} does not accept the certificate (${code}): it trusts another CA than ${ca}`;
    if (isCertificateRefused(code)) return `${at} does not accept the certificate (${code}): ${ONLY_ITS_LOG}`;
    if (/ALERT_(?!PROTOCOL_VERSION)/.test(code))
      return `${at} ends the connection (${code}): ${ONLY_ITS_LOG}`;
    return `${at} does not speak TLS 1.3 (${code}): is it albatross-tls-endpoint?`;
  }

  #whatIsReached(): string {
    const { issuer = null, leaves = [] } = this.#credentials ?? {};
    if (issuer === null) return leaves.map(({ use, name }) => `${use} ${formatName(name)}`).join(", ");
    const [own, one] = [null, "web"].map((label) => formatName({ path: issuer.path, label }));
    return `${issuer.holder.certificate.file} is for ${own} and for names of exactly that path, such as ${one}`;
  }

  /** Both expired and not yet valid are alert 45. */
  #whoseClock(): string {
    const nowMs = this.#clock.wallMs();
    const all = this.#holders.flatMap(({ files }) => files);
    const isOver = all.find(({ notAfterMs }) => notAfterMs < nowMs);
    if (isOver !== undefined)
      return `${isOver.file} has expired at ${timeText(isOver.notAfterMs)}: put a new one in its place`;
    const isEarly = all.find(({ notBeforeMs }) => nowMs < notBeforeMs);
    if (isEarly !== undefined)
      return `${isEarly.file} is valid from ${timeText(isEarly.notBeforeMs)} on, and it is ${timeText(nowMs)} here`;
    return `by this machine's clock, ${timeText(nowMs)}, all its certificates are: the clock here or that of the host is wrong`;
  }

  explain(daemon: Daemon, message: string): string {
    const at = this.#tls.address.text;
    const service = SERVICES[daemon];
    if (message === SERVICE_DOWN)
      return `${at} answers, but cannot reach ${service}: is that running on the host?`;
    if (message === DAEMON_ENDED)
      return daemon === "stat"
        ? `${service} closed the subscription: another client took it, or ${service} was restarted`
        : `${service} closes the connection without a reply: did it end in the middle?`;
    const policy = POLICY_REFUSED.exec(message)?.[1];
    if (policy === undefined) return `${service} says: ${excerpt(message)}`;
    const ours = (this.#credentials?.policies ?? []).map(
      ({ path, file }) => `of ${file} for ${pathText(path)}:`,
    );
    return `albatrossd refuses the policy ${ours.join(", or ")} with "${excerpt(policy)}": does more run there than it allows?`;
  }
}

function isBelow(path: readonly string[], { path: of, label }: Name): boolean {
  // a leaf of that name would be about the path
  return pathText(of) === pathText(path) && label !== ".";
}

function isQuestion({ command }: Put): boolean {
  return Object.values(USES).some((use) => kindOf(use) === kindOf(command));
}

/** Makes the certificate that holds a command, or finds it among those made beforehand. Throws a DialError. */
async function identityFor({ issuer, leaves }: Credentials, put: Put, nowMs: number): Promise<Identity> {
  const { name, command } = put;
  if (issuer !== null) {
    if (!isBelow(issuer.path, name)) throw new DialError("TLS_PATH");
    return issue(issuer.holder, { label: name.label, command }, nowMs, LEAF_VALID_MS);
  }
  const leaf = leaves.find(
    (one) => kindOf(USES[one.use]) === kindOf(command) && formatName(one.name) === formatName(name),
  );
  if (leaf === undefined) throw new DialError(isQuestion(put) ? "TLS_PATH" : "TLS_READ_ONLY");
  return identityOf(leaf.holder.chain, leaf.holder.key);
}

/** Changes whenever a file may have. */
async function fingerprintOf({ ca, issuer, certificates }: TlsConfig): Promise<string> {
  const holders = [
    ...(issuer === null ? [] : [issuer]),
    ...(certificates ?? []).flatMap(({ subscribe, info, policy }) => [subscribe, info, policy]),
  ];
  const files = [ca, ...holders.flatMap(({ certificate, key }) => [certificate, key])];
  const found = await Promise.all(files.map((file) => stat(file).catch(() => null)));
  return found
    .map((one) => (one === null ? "" : [one.ino, one.mtimeMs, one.size, one.mode].join()))
    .join(" ");
}

function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
