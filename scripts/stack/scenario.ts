/**
 * What is played when somebody looks at the stack: at its default speed everything that people are told of by Alertmanager
 * happens within the five minutes of one round. Times are real ones, of the scenario's own.
 */
export const STACK_SCENARIO = `# At second
#    20  user:web gets more to do than two VMs can: overload, and the scaler creates a clone, and another
#   160  the load falls: the scaler destroys them, one after the other
#   240  albatross-stats does not run for 20 s: host down
repeat_every: 5m
seed: 42
policies:
  - path: ":"
    bridges: [service, storage]
  - path: "user:"
    cpuids: [0, 1, 2, 3]
    unikernels: 8
    memory: 2048
    block: 10240
    bridges: [service, storage]
vms:
  - name: user:web
    memory: 256
    share_load_with_clones: true
    load:
      sum:
        - steps:
            - { at: 0s, percent: 45 }
            - { at: 20s, percent: 250 }
            - { at: 160s, percent: 20 }
        - noise: { amplitude: 5, every: 2s }
  - name: user:db
    cpus: 2
    memory: 512
    interfaces: [service, storage]
    load: { sum: [{ sine: { mean: 45, amplitude: 30, period: 60s } }, { noise: { amplitude: 3 } }] }
  - name: user:mirror # hashes what it mirrors; the stack's configuration does not scale it
    load: { steps: [{ at: 0s, percent: 99 }, { at: 90s, percent: 15 }] }
  - name: :hello
    load: { noise: { mean: 4, amplitude: 3, every: 5s } }
  - name: ops:cron
    memory: 64
    load: { steps: [{ at: 0s, percent: 5 }, { at: 120s, percent: 70 }, { at: 180s, percent: 5 }] }
    crashes: [60s, 90s, 130s, 140s]
    down_for: 2s
events:
  - { at: 240s, misbehave: { type: stat_gone, for: 20s } }
`;

/** The scaler's part of the exporter's configuration that goes with it. */
export const STACK_SCALER = {
  mode: "execute",
  policies: [
    { match: "user:mirror", enabled: false },
    { match: "user:web", mode: "execute", max_clones: 4, clone: { arguments: [] } },
    { match: "user:*", max_clones: 4 },
  ],
};
