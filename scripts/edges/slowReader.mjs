/**
 * Clients that ask much and never read, for as long as it runs: `node slow-reader.mjs PORT PATH CONNECTIONS REQUESTS`, each
 * connection with so many requests at once.
 */
import { connect } from "node:net";

const [port, path, connections, requests] = process.argv.slice(2);
for (let i = 0; i < Number(connections); i++) {
  const socket = connect({ host: "127.0.0.1", port: Number(port) });
  socket.on("error", () => {}).pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: edge\r\n\r\n`.repeat(Number(requests)));
}
setInterval(() => {}, 1_000);
