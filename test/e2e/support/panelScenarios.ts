/** What is played for the panels: once with all well, once with all that fills the panels that are empty then. */

/**
 * A group that is overloaded for a while, and has little to do then. That begins when Prometheus has been there for some
 * time: it takes five seconds to scrape what it was told of.
 */
export const CALM = `
interval: 300ms
policies:
  - { path: ":", bridges: [service] }
  - { path: "user:", cpuids: [0, 1], unikernels: 8, memory: 2048, block: 10240, bridges: [service, storage] }
vms:
  - { name: user:web, load: &load { steps: [{ at: 0s, percent: 60 }, { at: 9s, percent: 97 }, { at: 12s, percent: 10 }] } }
  - { name: user:web-clone-1, load: *load }
  - { name: user:db, cpus: 2, interfaces: [service, storage], load: 45 }
  - { name: ":hello", load: 5 }
`;

/** Seconds from `first` on, so far apart, for as long as a busy machine takes to start Prometheus and look. */
function times(first: number, apart: number): number[] {
  return Array.from({ length: Math.ceil((120 - first) / apart) }, (_, index) => first + index * apart);
}

const crashes = times(3, 2).map((at) => `${at}s`);
const undecodable = times(3, 4).map((at) => `  - { at: ${at}s, misbehave: { type: undecodable } }`);
// a third would look like a rival that keeps the subscription
const closes = [6, 30].map((at) => `  - { at: ${at}s, misbehave: { type: close } }`);

/** Restarts (of more than a second of CPU time: smaller ones wait for unikernel info), connections lost, and what cannot be decoded, again and again. */
export const TROUBLED = `
interval: 300ms
policies:
  - { path: "user:", cpuids: [0, 1, 2, 3], unikernels: 6, memory: 2048, bridges: [service] }
vms:
  - { name: user:web, load: 50 }
  - { name: user:idle, load: 1 }
  - { name: user:cron, load: 97, crashes: [${crashes.join(", ")}] }
  - { name: user:zealous, load: 97 }
events:
${[...undecodable, ...closes].join("\n")}
`;

/** Another client takes the subscription and keeps it. */
export const DISPLACED = `
interval: 300ms
vms: [{ name: user:web, load: 50 }]
events: [{ at: 3s, misbehave: { type: rival, slot: ":" } }]
`;

/** FreeBSD fills what Linux leaves at zero, and bhyve's vmm counts. */
export const FREEBSD = `
interval: 300ms
os: freebsd
vmm_stats: true
vms:
  - { name: user:web, type: bhyve, cpus: 2, load: 60 }
`;

/** A host of which only certificates are of interest: more groups than there are have no colours of their own. */
export const EMPTY = `
policies: [{ path: "user:" }]
vms: []
`;
