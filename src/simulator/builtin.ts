/** Scenarios that come with the program, as the YAML one would write: they are also the examples of the format. */
export const BUILTIN_SCENARIOS: Readonly<Record<string, { readonly about: string; readonly yaml: string }>> =
  {
    demo: {
      about: "three minutes, over and over: user:web has more to do than one VM can, and then less than one",
      yaml: `# What happens to user:web, in seconds. In brackets what a scaler does about it that acts and evaluates every 3 s, as the
# demo's does.
#    10-14  its load rises to more than two VMs can do
#     (~20) scale_up web-clone-1, which takes half; that is not enough
#     (~45) scale_up web-clone-2; the three have room
#       93  the load falls
#    (~103) scale_down web-clone-2
#    (~125) scale_down web-clone-1
# Beside it user:db follows the tide, :hello idles, and ops:cron crashes every now and then.
interval: 1s
repeat_every: 3m
seed: 42
policies:
  - path: ":"
    bridges: [service, storage]
  - path: "user:"
    cpuids: [0, 1, 2, 3, 4, 5, 6, 7]
    unikernels: 8
    memory: 2048
    block: 10240
    bridges: [service, storage]
  - path: "ops:"
    cpuids: [8]
    unikernels: 2
    memory: 128
vms:
  - name: user:web
    memory: 256
    cpuids: [0, 1] # its clones have 2 and 3, 4 and 5: nobody is short of cores
    share_load_with_clones: true # the load is the whole group's, in percent of one VM
    load:
      sum:
        - steps:
            - { at: 0s, percent: 55 }
            - { at: 93s, percent: -130 } # with the ramp below: back to 55
        - ramp: { from: 0, to: 185, start: 10s, over: 4s }
        - noise: { amplitude: 6, every: 2s }
  - name: user:db
    cpus: 2
    cpuids: [6, 7]
    memory: 512
    interfaces: [service, storage]
    load:
      sum:
        - sine: { mean: 45, amplitude: 30, period: 60s }
        - noise: { amplitude: 3 }
  - name: :hello
    cpuids: [8]
    load: { noise: { mean: 4, amplitude: 3, every: 5s } }
  - name: ops:cron
    memory: 64
    cpuids: [8]
    load: { steps: [{ at: 0s, percent: 5 }, { at: 60s, percent: 70 }, { at: 80s, percent: 5 }] }
    crashes: [40s, 78s]
    down_for: 2s
`,
    },
    load: {
      about: "2,000 VMs at one sample a second each, for load tests",
      yaml: `interval: 1s
seed: 7
vms:
  - name: load:vm-{n}
    count: 2000
    load:
      sum:
        - sine: { mean: 50, amplitude: 30, period: 5m }
        - noise: { amplitude: 15, every: 3s }
`,
    },
    faults: {
      about: "a host where everything goes wrong in turn, for trying out what a client makes of it",
      yaml: `interval: 1s
repeat_every: 4m
vms:
  - name: user:web
    load: 60
  - name: user:web-clone-1
    load: 40
  - name: :hello
    load: 5
    interfaces: [service, private]
events:
  - { at: 15s, misbehave: { type: stall, for: 6s } }
  - { at: 30s, misbehave: { type: close } }
  - { at: 45s, misbehave: { type: half_frame } }
  - { at: 60s, misbehave: { type: garbage, bytes: 256 } }
  - { at: 75s, misbehave: { type: frame_length, announced: 2147483647 } }
  - { at: 90s, misbehave: { type: unknown_data } }
  - { at: 95s, misbehave: { type: undecodable } }
  - { at: 100s, misbehave: { type: device_name, vm: :hello, for: 10s } }
  - { at: 115s, restart_albatrossd: true }
  - { at: 150s, misbehave: { type: stat_gone, for: 5s } }
  - { at: 165s, misbehave: { type: vmmd_gone, for: 35s } }
  - { at: 205s, misbehave: { type: rival, slot: ":", for: 10s } }
`,
    },
  };
