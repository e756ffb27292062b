import { userInfo } from "node:os";

/** What a system error code on a daemon's socket means, and what to do about it. */
export function describeSocketError(
  code: string,
  socketPath: string,
  options: { readonly os: "linux" | "freebsd"; readonly userName?: string },
): string {
  switch (code) {
    case "ENOENT":
      return `${socketPath} does not exist (yet): is the daemon running, is socket_dir right?`;
    case "ECONNREFUSED":
      return `nobody listens on ${socketPath}: is the daemon running?`;
    case "EACCES":
    case "EPERM": {
      const user = options.userName ?? currentUserName();
      const remedy =
        options.os === "freebsd" ? `pw groupmod albatross -m ${user}` : `usermod -aG albatross ${user}`;
      return `${socketPath} may not be opened: not in group albatross: ${remedy}, then restart the exporter`;
    }
    default:
      return `${socketPath}: ${code}`;
  }
}

/** Whether the error says that no daemon is there at all. */
export function isDaemonAbsent(code: string): boolean {
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/** The name of the user this process runs as; the number of one that the system knows no name for. */
export function currentUserName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a user id without an entry in its password file.
    return String(process.geteuid?.() ?? "USER");
  }
}
