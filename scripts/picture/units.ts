/** The units of the panels in the picture, by Grafana's ids. */
const PREFIXED: Readonly<Record<string, { readonly base: number; readonly names: readonly string[] }>> = {
  bytes: { base: 1024, names: ["B", "KiB", "MiB", "GiB", "TiB"] },
  bps: { base: 1000, names: ["b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s"] },
};

/** A value as Grafana writes it on an axis. */
export function formatValue(unit: string, value: number): string {
  if (unit === "percent") return `${value} %`;
  const prefixed = PREFIXED[unit];
  if (prefixed === undefined) return String(value);
  const { base, names } = prefixed;
  const power = Math.abs(value) < 1 ? 0 : Math.floor(Math.log(Math.abs(value)) / Math.log(base) + 1e-9);
  const prefix = Math.min(power, names.length - 1);
  return `${Number((value / base ** prefix).toFixed(1))} ${names[prefix]}`;
}
