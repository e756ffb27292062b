import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { freePort } from "../../src/demo/freePort.ts";

test("the wanted port is taken when it is free, and another one when it is not", async () => {
  const wanted = await freePort(0);
  expect(await freePort(wanted)).toBe(wanted);
  const server = createServer().listen(wanted, "127.0.0.1");
  onTestFinished(() => {
    server.close();
  });
  await once(server, "listening");
  const other = await freePort((server.address() as AddressInfo).port);
  expect(other).not.toBe(wanted);
  expect(other).toBeGreaterThan(0);
});
