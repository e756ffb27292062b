import { closeSync, existsSync, openSync, rmSync, writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import type { Use } from "../client/credentials.ts";
import { formatDuration } from "../config/units.ts";
import { plainMessage } from "../systemError.ts";
import { formatName, isValidLabel } from "../wire/names.ts";
import { durationFlag, flagValue, path } from "./shared.ts";

const DEFAULT_VALID_MS = 90 * 86_400_000;

/** What each certificate is good for. */
const ALLOWS = {
  subscribe: "to receive the statistics of NAME, whose one subscription it then has",
  info: "to read what unikernels NAME has: memory, CPUs, image digests, arguments",
  policy: "to read the policies of NAME and of the paths below",
} as const satisfies Record<Use, string>;

interface Options {
  readonly "issuer.certificate": string;
  readonly "issuer.key": string;
  readonly for: Use;
  readonly name?: string;
  readonly valid: number;
  readonly output: string;
}

/** `certificate`: one that only reads, for a target that is reached by TLS. */
export function register(program: Command): void {
  program
    .command("certificate")
    .summary("make a certificate with which a host is read by TLS, and nothing else")
    .description(
      "Make a certificate that only reads, for a target with `tls.certificates`: FILE, and its key beside it (mode 0600). " +
        "So the issuer's own key need not be where the exporter runs. Nothing that is there is overwritten.",
    )
    .requiredOption("--issuer.certificate <file>", "the CA's or an intermediate's certificate, PEM", path)
    .requiredOption("--issuer.key <file>", "its key, PEM: Ed25519 or P-256", path)
    .addOption(new Option("--for <use>", "what it is for").choices(Object.keys(ALLOWS)).makeOptionMandatory())
    .option(
      "--name <label>",
      "a unikernel, instead of all of the issuer's path",
      flagValue("a label of 1 to 63 letters, digits, dots and hyphens, such as web", (text) =>
        isValidLabel(text) && text !== "." ? text.toLowerCase() : null,
      ),
    )
    .addOption(
      new Option("--valid <duration>", "how long it is good; no longer than its issuer is")
        .argParser(durationFlag("a duration such as 90d or 12h, from 1m to 3650d", 60_000, 3650 * 86_400_000))
        .default(DEFAULT_VALID_MS, formatDuration(DEFAULT_VALID_MS)),
    )
    .requiredOption("-o, --output <file>", "where it goes; its key goes to the same name with .key", path)
    .addHelpText(
      "after",
      `
A host needs three of them: to subscribe, to ask info and to ask policies.

Example: one of the three, for all of a host
  albatross-exporter certificate --issuer.certificate ca.pem --issuer.key ca.key --for info -o metal-info.pem`,
    )
    .action(makeCertificate);
}

async function makeCertificate(options: Options, command: Command): Promise<void> {
  const { for: use, name: label = null, valid: validMs, output } = options;
  if (use === "policy" && label !== null)
    command.error("error: policies are of a path: --name is for --for subscribe and --for info");
  const { issue, readHolder, scopeOf } = await import("../client/certificates.ts");
  const { describePolicy, USES } = await import("../client/credentials.ts");
  const files = { certificate: options["issuer.certificate"], key: options["issuer.key"] };
  const issuer = await readHolder(files, null);
  const { path, policies } = scopeOf(issuer.chain);
  const nowMs = Date.now();
  const chain = [issuer.certificate, ...issuer.chain];
  const expired = chain.find((one) => one.notAfterMs <= nowMs);
  if (expired !== undefined) throw new Error(`${expired.file} has expired: it can issue nothing any more`);
  const early = chain.find((one) => nowMs < one.notBeforeMs);
  if (early !== undefined) {
    const from = new Date(early.notBeforeMs).toISOString();
    throw new Error(
      `${early.file} is not valid before ${from}: by this machine's clock it can issue nothing yet`,
    );
  }
  const untilMs = Math.min(nowMs + validMs, ...chain.map((one) => one.notAfterMs));
  const leaf = { label, command: USES[use] };
  const { certificates, key } = await issue(issuer, leaf, nowMs, untilMs - nowMs);

  const keyFile = `${output.replace(/\.(pem|crt|cert)$/, "")}.key`;
  for (const file of [output, keyFile]) {
    if (existsSync(file)) throw new Error(`${file} is there, and is not overwritten`);
  }
  writeBoth([
    [keyFile, key, 0o600],
    [output, certificates, 0o644],
  ]);

  if (issuer.isKeyOpen)
    console.error(`${issuer.keyFile}: everyone on this machine may read it: chmod 600, or 640 (warning)`);
  const name = formatName({ path, label });
  const isShorter = untilMs < nowMs + validMs ? ", when its issuer expires" : "";
  console.log(`${output}: a certificate for ${use} of ${name}, with its key in ${keyFile}`);
  console.log(`It allows ${ALLOWS[use].replace("NAME", name)}; nothing else.`);
  console.log(`It is good until ${new Date(untilMs).toISOString()}${isShorter}.`);
  for (const one of use === "subscribe" ? [] : policies)
    console.log(
      `Each use puts the policy of ${one.file} for ${one.path.join(":")}: in force on the host again (${describePolicy(one.policy)}): the target needs enforces_policy: true.`,
    );
  console.log(`
In the configuration, beside those for the other two:
  tls:
    certificates:
      - ${use}: { certificate: ${scalar(output)}, key: ${scalar(keyFile)} }`);
}

/** A path as YAML. */
function scalar(path: string): string {
  return /^[\w./][\w./-]*$/.test(path) ? path : JSON.stringify(path);
}

/** Throws where that cannot be, and leaves none of them behind. */
function writeBoth(files: readonly (readonly [file: string, text: string, mode: number])[]): void {
  const made: string[] = [];
  for (const [file, text, mode] of files) {
    try {
      const fd = openSync(file, "wx", mode);
      made.push(file);
      writeFileSync(fd, text);
      closeSync(fd);
    } catch (error) {
      for (const one of made) rmSync(one);
      throw new Error(`${file} cannot be written: ${plainMessage(error)}; nothing is left behind`);
    }
  }
}
