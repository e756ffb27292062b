import { join } from "node:path";

/** The target's name: the value of the label `host`. */
const DEMO_HOST = "demo";

/** Where certificates lie in the demo's folder. */
export const TLS_FOLDER = "tls";

/**
 * The configuration that the demo's exporter runs with, as a file's text. Intervals are short, so that all that the
 * scaler does in an hour is seen in three minutes; what the scaler writes lies in `folder` as well. It acts, on this one host
 * only. The host is reached by its sockets in `folder`, or at the address of its TLS endpoint.
 */
export function demoConfig(folder: string, port: number, tlsAddress: string | null): string {
  return `targets: [{ name: ${DEMO_HOST}, ${reachedBy(folder, tlsAddress)}, os: linux, page_size: 4096 }]
web: { listen_addresses: ["127.0.0.1:${port}"] }
log: { level: warn }
scaler:
  poll_interval: 3s
  mode: execute
  state_file: ${JSON.stringify(join(folder, "scaler-state.json"))}
  decision_log: ${JSON.stringify(join(folder, "decisions.ndjson"))}
  defaults:
    scale_up_trigger_ticks: 3
    scale_down_trigger_ticks: 3
    cooldown_period: 15s
    death_timeout: 20s
    warmup_period: 0s
  policies:
    - match: "user:web"
      mode: execute
      clone: { arguments: [] }
`;
}

function reachedBy(folder: string, tlsAddress: string | null): string {
  if (tlsAddress === null) return `socket_dir: ${JSON.stringify(folder)}`;
  const file = (name: string) => JSON.stringify(join(folder, TLS_FOLDER, name));
  const issuer = `{ certificate: ${file("issuer-user.pem")}, key: ${file("issuer-user.key")} }`;
  return `tls: { address: "${tlsAddress}", ca: ${file("ca.pem")}, issuer: ${issuer} }, enforces_policy: true, allow_unchecked_path: true`;
}
