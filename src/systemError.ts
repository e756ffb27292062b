/** What the system's errors are called in plain words. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection lost",
  EIO: "the device reports an error",
  EISDIR: "it is a directory",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left",
  ENOTFOUND: "no such host",
  EPIPE: "nobody reads it",
  EROFS: "the file system is read-only",
};

/** What an error says, without the system call and path that Node puts around it. */
export function plainMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return ("code" in error && WORDS[String(error.code)]) || error.message;
}

/** Whether it is the system's error of that code. */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
