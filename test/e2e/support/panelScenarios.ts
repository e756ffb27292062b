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

/** Restarts, connections lost, and what cannot be decoded. */
export const TROUBLED = `
interval: 300ms
vms:
  - { name: user:web, load: 50 }
  - { name: user:idle, load: 1 }
  - { name: user:cron, load: 5, crashes: [3s, 5s, 7s, 9s, 11s, 13s, 15s, 17s, 19s, 21s, 23s, 25s] }
events:
  - { at: 3s, misbehave: { type: undecodable } }
  - { at: 4s, misbehave: { type: close } }
  - { at: 7s, misbehave: { type: undecodable } }
  - { at: 8s, misbehave: { type: close } }
  - { at: 11s, misbehave: { type: undecodable } }
  - { at: 12s, misbehave: { type: close } }
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
