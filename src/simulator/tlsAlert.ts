import { createCipheriv, createHmac } from "node:crypto";

/**
 * The one cipher of a simulated endpoint. Node's server cannot be told to send an alert once the client believes the
 * handshake to be done, which is when a TLS 1.3 server refuses a client's certificate: so the record is made here.
 */
export const CIPHER = "TLS_AES_128_GCM_SHA256";
const KEY_BYTES = 16;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** OpenSSL has sent two session tickets before. */
const SEQUENCE = 2;
const FATAL = 2;
const ALERT_TYPE = 21;
const APPLICATION_DATA_TYPE = 23;

/** The server's secret in a line of Node's event "keylog", null in another. */
export function serverSecret(line: Buffer): Buffer | null {
  const [label, , secret] = line.toString("latin1").trim().split(" ");
  return label === "SERVER_TRAFFIC_SECRET_0" ? Buffer.from(secret ?? "", "hex") : null;
}

/** The first record after the session tickets, RFC 8446, 5.2: a fatal alert of that number. */
export function alertRecord(secret: Buffer, alert: number): Buffer {
  const content = Buffer.from([FATAL, alert, ALERT_TYPE]);
  const head = Buffer.from([APPLICATION_DATA_TYPE, 3, 3, 0, content.length + TAG_BYTES]);
  const nonce = expand(secret, "iv", IV_BYTES);
  nonce.writeUInt8(nonce.readUInt8(IV_BYTES - 1) ^ SEQUENCE, IV_BYTES - 1);
  const cipher = createCipheriv("aes-128-gcm", expand(secret, "key", KEY_BYTES), nonce);
  cipher.setAAD(head);
  return Buffer.concat([head, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
}

/** HKDF-Expand-Label of RFC 8446, 7.1, for up to 32 bytes. */
function expand(secret: Buffer, label: string, bytes: number): Buffer {
  const full = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([0, bytes, full.length]), full, Buffer.from([0, 1])]);
  return createHmac("sha256", secret).update(info).digest().subarray(0, bytes);
}
