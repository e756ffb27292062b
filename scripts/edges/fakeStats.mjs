/**
 * Plays stat.sock from a list of samples, once for each subscriber: `node fake-stats.mjs DIRECTORY SCRIPT.json`.
 * The script: `{ intervalMs, samples: [[{ name, ut, un, minflt, nvcsw }, ...] per tick] }`; `ut` and `un` are user time in
 * seconds and microseconds.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const [directory, file] = process.argv.slice(2);
const { intervalMs, samples } = JSON.parse(readFileSync(file, "utf8"));

function der(tag, ...parts) {
  const body = Buffer.concat(parts);
  const { length } = body;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...(length < 128 ? [length] : long)]), body]);
}

function int64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return der(0x04, bytes);
}

function integer(value) {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(value, 1);
  const first = bytes.findIndex((byte, i) => i === 4 || byte !== 0 || bytes[i + 1] >= 128);
  return der(0x02, bytes.subarray(first));
}

function text(value) {
  return der(0x0c, Buffer.from(value));
}

function message(name, payload) {
  const header = der(0x30, integer(5), int64(0), text(name));
  const body = der(0x30, header, payload);
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([length, body]);
}

function sample({ name, ut, un, minflt = 100, nvcsw = 100 }) {
  const zeros = (count) => Array.from({ length: count }, () => int64(0));
  const times = [der(0x30, int64(ut), integer(un)), der(0x30, int64(0), integer(0))];
  const counts = [int64(10), ...zeros(3), int64(minflt), ...zeros(7), int64(nvcsw), ...zeros(1)];
  const stats = der(0x30, der(0x30, ...times, ...counts), der(0x30));
  return message(name, der(0xa3, der(0xa1, stats)));
}

createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () => {
    socket.write(message(":", der(0xa1, der(0xa1, text("subscribed")))));
    const left = [...samples];
    const timer = setInterval(() => {
      const tick = left.shift();
      if (tick === undefined || socket.destroyed) clearInterval(timer);
      else socket.write(Buffer.concat(tick.map(sample)));
    }, intervalMs);
  });
}).listen(`${directory}/stat.sock`);
