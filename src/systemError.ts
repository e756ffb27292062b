/** What the system's errors are called in plain words. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection lost",
  EIO: "the device reports an error",
  EEXIST: "something else is there",
  EISDIR: "it is a directory",
  ELOOP: "its symbolic links go round in circles",
  ENAMETOOLONG: "its path is too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left",
  ENOTDIR: "a part of its path is no directory",
  ENOTFOUND: "no such host",
  ENXIO: "nobody reads it",
  EPERM: "not permitted",
  EPIPE: "nobody reads it",
  EROFS: "the file system is read-only",
};

/** `...error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../deps/...` */
const OPENSSL = /^.*error:[0-9A-F]+:[^:]*:[^:]*:([^:]+).*$/s;

/** What an error says, without the system call and path that Node puts around it, or the places in OpenSSL. */
export function plainMessage(error: unknown): string {
  const word = error instanceof Error && "code" in error ? WORDS[String(error.code)] : undefined;
  return word ?? messageOf(error).replace(OPENSSL, "TLS: $1");
}

/** What an error says in its own words; anything else that was thrown, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether it is the system's error of that code. */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
