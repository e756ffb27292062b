import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { isIPv6 } from "node:net";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { z } from "zod";
import {
  formatName,
  type Name,
  parseName,
  subscriptionCovers,
  subscriptionPlace,
  tryParseName,
} from "../wire/names.ts";
import { duration, flag, oneOf, type Reader, Refused, type Report, reader, size, text } from "./fields.ts";
import { fileOf, type Key, key, keyOrNull, listOf, sectionOf } from "./keys.ts";
import { formatDuration } from "./units.ts";

/** the packages' defaults */
const SOCKET_DIRS = { linux: "/run/albatross/util", freebsd: "/var/run/albatross/util" };
export type TargetOs = keyof typeof SOCKET_DIRS;

/** What a target's settings default to: its sockets are usually this machine's. */
export interface Machine {
  /** its hostname: each new container has another */
  readonly name: string;
  readonly isContainer: boolean;
  readonly os: TargetOs;
  readonly pageSizeBytes: number;
}

let known: Machine | undefined;

export function thisMachine(): Machine {
  known ??= {
    name: hostname() || "local",
    // files of Docker and Podman
    isContainer: existsSync("/.dockerenv") || existsSync("/run/.containerenv"),
    os: process.platform === "freebsd" ? "freebsd" : "linux",
    pageSizeBytes: systemPageSize(),
  };
  return known;
}

/** Node does not tell the page size; `getconf`, which POSIX requires, does. */
function systemPageSize(): number {
  try {
    const text = execFileSync("getconf", ["PAGESIZE"], { stdio: ["ignore", "pipe", "ignore"] }).toString();
    if (Number(text) > 0) return Number(text);
  } catch {
    // A minimal container: the usual size, which `page_size` overrides.
  }
  return 4096;
}

const SLOTS =
  'slots such as ":" (everything), "user:" (one path) or "user:web" (one unikernel), of labels of 1 to 63 of a-z, 0-9, "." and "-"';

const slot: Reader<string> = (value) => {
  const name = typeof value === "string" ? tryParseName(value) : null;
  return name === null ? new Refused(SLOTS) : formatName(name);
};

const statsInterval = reader<number | "auto">(
  (value) => {
    if (value === "auto") return value;
    const ms = duration({ min: 100, max: 86_400_000 })(value);
    return ms instanceof Refused ? new Refused(`auto, or ${ms.allowed}`, ms.found) : ms;
  },
  (interval) => (interval === "auto" ? interval : formatDuration(interval)),
);

const pageSize: Reader<number> = (value) => {
  const isPageSize =
    typeof value === "number" && value >= 512 && value <= 2 ** 22 && Number.isInteger(Math.log2(value));
  return isPageSize
    ? value
    : new Refused("a power of two from 512 to 4194304, in bytes, as getconf PAGESIZE prints it");
};

// A socket's path ends at 103 characters on FreeBSD, 107 on Linux; "/stat.sock" is ten.
const SOCKET_DIR_LENGTH = 93;

// A longer frame would be an image, which nothing here asks for.
const frameBytes = size({ min: 1024, max: 2 ** 30 });

const ADDRESS = 'a host and a port, such as "host.example:1025", "192.0.2.1:1025" or "[2001:db8::1]:1025"';

const address = reader(
  (value) => {
    const parts = typeof value === "string" ? /^(\[.*\]|[^:]*):(\d{1,5})$/.exec(value) : null;
    const [text = "", bracketed = "", digits] = parts ?? [];
    const [host, port] = [bracketed.replace(/^\[(.*)\]$/, "$1"), Number(digits)];
    const isHost = host === bracketed ? /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,252}$/.test(host) : isIPv6(host);
    return isHost && port >= 1 && port <= 65_535 ? { text, host, port } : new Refused(ADDRESS);
  },
  ({ text }) => text,
);

const pemFile = (what: string) => fileOf(`a PEM file with ${what}`);
const holder = sectionOf({
  certificate: key("certificate", pemFile("a certificate and those between it and the CA")),
  key: key("key", pemFile("the certificate's key")),
});
const readOnly = sectionOf({
  subscribe: key("subscribe", holder),
  info: key("info", holder),
  policy: key("policy", holder),
});

/** A host's albatross-tls-endpoint. One of `issuer` and `certificates` is null. */
const tlsSection = sectionOf(
  {
    address: key("address", address),
    /** what the server's certificate and ours are checked against */
    ca: key("ca", pemFile("the CA's certificate")),
    /** makes certificates for commands as they are needed */
    issuer: keyOrNull("issuer", holder),
    /** made beforehand, one each for what is asked */
    certificates: keyOrNull(
      "certificates",
      listOf(readOnly, "certificates to subscribe, ask info and policies"),
    ),
  },
  {
    rules: [
      {
        of: ["issuer", "certificates"],
        check: ({ issuer, certificates }, report) => {
          const allowed = "allowed: issuer, or a list of certificates";
          if (issuer !== null && certificates !== null)
            report(["certificates"], `issuer is there, too; ${allowed}`);
          if (issuer === null && (certificates ?? []).length === 0)
            report([], `has no certificate; ${allowed}`);
        },
      },
    ],
  },
);

export type TlsConfig = z.output<typeof tlsSection.schema>;

/** One Albatross host. What it leaves out is as on `machine`, where its sockets are. */
function targetSection(machine: () => Machine) {
  const section = sectionOf(
    {
      /** value of the label `host`; unique among the targets */
      name: keyOrNull("name", text({ what: "a name for the label host, unique among the targets" })),
      /** holds stat.sock and vmmd.sock; by default the packages' own for the operating system */
      socketDir: keyOrNull(
        "socket_dir",
        text({ what: "the directory of stat.sock and vmmd.sock", maxLength: SOCKET_DIR_LENGTH }),
      ),
      tls: keyOrNull("tls", tlsSection),
      /** canonical: `:`, `user:`, `user:web`, `:web`; none covers another */
      subscribe: keyOrNull("subscribe", listOf(slot, SLOTS)),
      /** `auto` learns it from the stream */
      statsIntervalMs: key("stats_interval", statsInterval, "auto"),
      os: keyOrNull("os", oneOf<TargetOs>(["linux", "freebsd"])),
      pageSizeBytes: keyOrNull("page_size", pageSize),
      /** open a path slot although unikernel info cannot be read to check that it is safe */
      allowUncheckedPath: key("allow_unchecked_path", flag, false),
      /** TLS: the policy of each intermediate is applied to the host again with each command */
      enforcesPolicy: keyOrNull("enforces_policy", flag),
      /** TLS: the issuer's leaves not only read, but act at the root, where no policy is checked */
      allowRoot: keyOrNull("allow_root", flag),
      displacedRetryMs: key("displaced_retry", duration({ min: 1000 }), 5 * 60_000),
      maxFrameBytes: key(
        "max_frame_bytes",
        sectionOf({ stat: key("stat", frameBytes, 2 ** 20), vmmd: key("vmmd", frameBytes, 64 * 2 ** 20) }),
      ),
    },
    {
      rules: [
        {
          of: ["subscribe"],
          check: ({ subscribe }, report) => {
            if (subscribe === null) return;
            if (subscribe.length === 0) report(["subscribe"], `names no slot; allowed: ${SLOTS}`);
            const slots = subscribe.map((slot) => parseName(slot));
            for (const [index, slot] of slots.entries()) {
              const overlap = overlapOf(slot, slots.slice(0, index));
              if (overlap !== null) report(["subscribe", index], overlap);
            }
          },
        },
        {
          of: ["socketDir", "tls", "subscribe"],
          check: ({ socketDir, tls, subscribe }, report) => {
            if (tls === null) return;
            if (socketDir !== null) report(["tls"], "socket_dir is there, too; allowed: one of them");
            if (tls.certificates === null || subscribe === null) return;
            report(["subscribe"], "follows from tls.certificates; allowed: no key subscribe beside them");
          },
        },
      ],
    },
  );
  const schema = section.schema.transform(({ tls, socketDir, subscribe, ...target }) => {
    const remote = tls && ({ name: tls.address.host, os: "linux", pageSizeBytes: 4096 } as const);
    const usual = remote ?? machine();
    const os = target.os ?? usual.os;
    const rest = {
      ...target,
      os,
      name: target.name ?? usual.name,
      pageSizeBytes: target.pageSizeBytes ?? usual.pageSizeBytes,
      /** none: what follows from the certificates */
      subscribe: subscribe ?? (tls === null ? [":"] : []),
      enforcesPolicy: target.enforcesPolicy ?? false,
      allowRoot: target.allowRoot ?? false,
    };
    return tls === null
      ? { ...rest, tls, socketDir: socketDir ?? SOCKET_DIRS[os] }
      : { ...rest, tls, socketDir: null };
  });
  const write = (target: z.output<typeof schema>) => {
    const { subscribe, enforcesPolicy, allowRoot } = target;
    return section.write({
      ...target,
      subscribe: subscribe.length === 0 ? null : subscribe,
      // of no use for sockets
      enforcesPolicy: enforcesPolicy || null,
      allowRoot: allowRoot || null,
    });
  };
  return { ...section, schema, write };
}

export type TargetConfig = z.output<ReturnType<typeof targetSection>["schema"]>;

export function targetsKey(machine: () => Machine): Key<readonly TargetConfig[]> {
  const target = targetSection(machine);
  const targets = listOf<TargetConfig>(target, "targets");
  const schema = targets.schema.check(
    z.superRefine<readonly Partial<TargetConfig>[]>(
      (entries, context) => {
        const report: Report = (path, message) =>
          context.addIssue({ code: "custom", path: [...path], message });
        if (entries.length === 0)
          report([], "names no target; allowed: one or more, or no key targets at all");
        checkNames(entries, report);
        checkSharedHosts(entries, report);
      },
      // also when some entry is wrong: its name, at least, is where it was
      { when: ({ value }) => Array.isArray(value) && value.every((entry) => typeof entry === "object") },
    ),
  );
  return key("targets", { ...targets, schema }, () => [target.schema.parse({})]);
}

function checkNames(entries: readonly Partial<TargetConfig>[], report: Report): void {
  const names = entries.map(({ name }) => name);
  names.forEach((name, index) => {
    if (typeof name !== "string") return;
    if (name === "." || name === "..") {
      // a browser takes /groups/../user:web for /user:web
      report([index, "name"], `${JSON.stringify(name)} is no part of an address; allowed: any other name`);
    }
    const earlier = names.indexOf(name);
    if (earlier === index) return;
    const text = `${JSON.stringify(name)} is also the name of targets[${earlier}]; allowed: a name of its own`;
    report([index, "name"], text);
  });
}

/** Two targets at one socket directory or address are one host, whose unikernels would come under two names. */
function checkSharedHosts(entries: readonly Partial<TargetConfig>[], report: Report): void {
  // `/run/x` and `/run/x/` are one; whether they exist, or are links, does not matter yet
  const hosts = entries.map(({ socketDir, tls, subscribe }) => ({
    // undefined in an entry that is wrong
    place: socketDir === null ? tls?.address.text.toLowerCase() : socketDir && resolve(socketDir),
    // what follows from certificates is not known yet
    slots: socketDir === undefined ? [] : (subscribe ?? []).map((slot) => parseName(slot)),
  }));
  for (const [index, { place, slots }] of hosts.entries()) {
    for (const [at, earlier] of hosts.slice(0, index).entries()) {
      if (place === undefined || place !== earlier.place) continue;
      const overlap = slots.map((slot) => overlapOf(slot, earlier.slots)).find((text) => text !== null);
      const setting = entries[index]?.tls ? ["tls", "address"] : ["socket_dir"];
      if (overlap) report([index, ...setting], `is the one of targets[${at}] too: ${overlap}`);
    }
  }
}

const SLOTS_APART =
  'allowed: slots that share no unikernel (":" holds every other, "user:" holds "user:web" and "user:sub:")';

/** What to say about the first of `others` that would deliver a unikernel of `slot`, or push it out; or null. */
export function overlapOf(slot: Name, others: readonly Name[]): string | null {
  const isSamePlace = (one: Name) => subscriptionPlace(one) === subscriptionPlace(slot);
  const covers = (one: Name) => subscriptionCovers(slot, one) || subscriptionCovers(one, slot);
  const other = others.find((one) => covers(one) || isSamePlace(one));
  if (other === undefined) return null;
  const [text, otherText] = [formatName(slot), formatName(other)];
  if (text === otherText) return `slot "${text}" is there twice; ${SLOTS_APART}`;
  const overlaps = `slot "${text}" overlaps "${otherText}"`;
  if (!isSamePlace(other)) return `${overlaps}; ${SLOTS_APART}`;
  return `${overlaps}: albatross-stats keeps one subscriber for both; allowed: one of them`;
}
