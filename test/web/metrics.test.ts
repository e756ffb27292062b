import type { Socket } from "node:net";
import { gunzipSync } from "node:zlib";
import { Counter, Registry } from "prom-client";
import { afterEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { ExpositionFormat, Family } from "../../src/exposition/family.ts";
import { promClientFamilies } from "../../src/exposition/promClient.ts";
import { eventually } from "../support/eventually.ts";
import { parseExposition } from "../support/expositionParser.ts";
import { ask, connectWithoutReading, open, type RunningWeb, startWeb, webConfig } from "../support/web.ts";

const ACCEPT: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain;version=0.0.4",
  openmetrics: "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
};
const CONTENT_TYPE: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};
/** More than the kernel's buffers of a connection on one machine hold (4 MB + 6 MB by default, 16 MB at times). */
const MANY_SERIES = 600_000;

let web: RunningWeb;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await web.stop();
});

function counter(series: number): Family {
  const family: Family<number> = {
    name: "albatross_vm_signals_total",
    type: "counter",
    help: "Signals.",
    items: Array.from({ length: series }, (_, i) => i),
    emit: (i, out) => out.series(`host="local",path="",vm="web-clone-${i}"`, i),
  };
  return family as Family;
}

describe.each<ExpositionFormat>(["text", "openmetrics"])("a scrape in the format %s", (format) => {
  const headers = { Accept: ACCEPT[format] };

  test("gets every series, typed and told apart for caches", async () => {
    web = await startWeb({ collect: () => [counter(5_000)] });
    const { status, headers: got, body } = await ask(`${web.url}/metrics`, { headers });
    expect(status).toBe(200);
    expect(got["content-type"]).toBe(CONTENT_TYPE[format]);
    expect(got["vary"]).toBe("Accept, Accept-Encoding");
    expect(got["content-encoding"]).toBeUndefined();
    const [family] = parseExposition(body.toString(), format);
    expect(family?.series.map(({ value }) => Number(value))).toEqual(
      Array.from({ length: 5_000 }, (_, i) => i),
    );
    expect(web.scrapes).toEqual([{ outcome: "ok", durationSeconds: 0, series: 5_000, bytes: body.length }]);
  });

  test("is compressed where that is accepted, and the same", async () => {
    const warned = vi.spyOn(process, "emitWarning");
    web = await startWeb({ collect: () => [counter(5_000)] });
    const plain = await ask(`${web.url}/metrics`, { headers });
    const packed = await ask(`${web.url}/metrics`, { headers: { ...headers, "Accept-Encoding": "gzip" } });
    expect(packed.headers["content-encoding"]).toBe("gzip");
    expect(packed.headers["content-type"]).toBe(CONTENT_TYPE[format]);
    expect(packed.body.length).toBeLessThan(plain.body.length / 5);
    expect(gunzipSync(packed.body).equals(plain.body)).toBe(true);
    expect(web.scrapes.map(({ bytes }) => bytes)).toEqual([plain.body.length, plain.body.length]);
    // Node warns of the eleventh listener to one event
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });

  test("without a single series is whole and valid", async () => {
    web = await startWeb();
    const { status, body } = await ask(`${web.url}/metrics`, { headers });
    expect(status).toBe(200);
    expect(body.toString()).toBe(format === "openmetrics" ? "# EOF\n" : "");
  });

  test("asked for with HEAD gets the headers and costs no rendering", async () => {
    let collected = 0;
    web = await startWeb({
      collect: () => {
        collected++;
        return [counter(1)];
      },
    });
    const { status, headers: got, body } = await ask(`${web.url}/metrics`, { method: "HEAD", headers });
    expect(status).toBe(200);
    expect(got["content-type"]).toBe(CONTENT_TYPE[format]);
    expect(body.length).toBe(0);
    expect(collected).toBe(0);
  });
});

test("two OpenMetrics scrapes and a text scrape after them name everything rightly", async () => {
  const registry = new Registry();
  new Counter({ name: "albatross_frames_total", help: "Frames.", registers: [registry] }).inc(3);
  web = await startWeb({ collect: async () => [...(await promClientFamilies(registry)), counter(1)] });
  const scrape = async (format: ExpositionFormat) => {
    const { body } = await ask(`${web.url}/metrics`, { headers: { Accept: ACCEPT[format] } });
    return body.toString();
  };
  const lines = (suffix: string) =>
    `# HELP albatross_frames${suffix} Frames.
# TYPE albatross_frames${suffix} counter
albatross_frames_total 3
# HELP albatross_vm_signals${suffix} Signals.
# TYPE albatross_vm_signals${suffix} counter
albatross_vm_signals_total{host="local",path="",vm="web-clone-0"} 0
`;
  expect(await scrape("openmetrics")).toBe(`${lines("")}# EOF\n`);
  expect(await scrape("openmetrics")).toBe(`${lines("")}# EOF\n`);
  expect(await scrape("text")).toBe(lines("_total"));
});

test("the metrics are where the configuration says, also after a reload", async () => {
  let telemetryPath = "/metrics";
  web = await startWeb({ config: () => webConfig({ telemetryPath }) });
  expect((await ask(`${web.url}/metrics`)).status).toBe(200);
  telemetryPath = "/other/place";
  expect((await ask(`${web.url}/other/place?x=1`)).status).toBe(200);
  expect((await ask(`${web.url}/metrics`)).status).toBe(404);
});

describe("a client that does not take its response", () => {
  test("is cut when it reads one byte a second past the write timeout", async () => {
    web = await startWeb({ collect: () => [counter(MANY_SERIES)] });
    const socket = await connectWithoutReading(web.port, "/metrics");
    sockets.push(socket);
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    let bytesRead = 0;
    for (let second = 0; second < 29; second++) {
      await eventually("bytes to read", () => socket.readableLength > 0);
      bytesRead += socket.read(1)?.length ?? 0;
      web.clock.advance(1_000);
    }
    expect(bytesRead).toBe(29);
    expect(web.scrapes).toEqual([]);
    web.clock.advance(1_000);
    await eventually("the scrape ended", () => web.scrapes.length === 1);
    const [scrape] = web.scrapes;
    expect(scrape?.outcome).toBe("timeout");
    expect(scrape?.durationSeconds).toBe(30);
    expect(scrape?.series).toBeLessThan(MANY_SERIES);
    expect(web.log.join("")).toContain("not taken in time");
    socket.resume();
    await closed;
  });

  test.each([
    { header: "2.5", cutAfterMs: 2_500 },
    { header: "90", cutAfterMs: 30_000 },
    { header: "nonsense", cutAfterMs: 30_000 },
    { header: "-1", cutAfterMs: 30_000 },
  ])("is given $cutAfterMs ms when it says it waits for $header s", async ({ header, cutAfterMs }) => {
    web = await startWeb({ collect: () => new Promise(() => {}) });
    const cut = expect(
      open(`${web.url}/metrics`, { headers: { "X-Prometheus-Scrape-Timeout-Seconds": header } }),
    ).rejects.toThrow("socket hang up");
    await eventually("the scrape began", () => web.clock.pendingTimers === 1);
    web.clock.advance(cutAfterMs - 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(web.scrapes).toEqual([]);
    web.clock.advance(1);
    await cut;
    await eventually("the scrape ended", () => web.scrapes.length === 1);
    expect(web.scrapes[0]?.outcome).toBe("timeout");
  });
});

test("a write timeout of months does not cut the response at once", async () => {
  web = await startWeb({
    collect: () => [counter(10)],
    clock: systemClock(),
    config: () => webConfig({ writeTimeoutMs: 90 * 86_400_000 }),
  });
  for (let i = 0; i < 10; i++) expect((await ask(`${web.url}/metrics`)).status).toBe(200);
});

describe("a client that goes away", () => {
  test.each(["identity", "gzip"])("stops the rendering (%s) and frees its slot", async (encoding) => {
    web = await startWeb({
      collect: () => [counter(MANY_SERIES)],
      config: () => webConfig({ maxRequests: 1 }),
    });
    const response = await open(`${web.url}/metrics`, { headers: { "Accept-Encoding": encoding } });
    await new Promise((resolve) => response.once("data", resolve));
    response.on("error", () => {});
    response.destroy();
    await eventually("the scrape ended", () => web.scrapes.length === 1);
    expect(web.scrapes[0]?.outcome).toBe("aborted");
    expect(web.scrapes[0]?.series).toBeLessThan(MANY_SERIES);
    expect(web.clock.pendingTimers).toBe(0);
    expect((await ask(`${web.url}/metrics`, { method: "GET" })).status).toBe(200);
  });

  test("frees its slot even while the families are being collected", async () => {
    let calls = 0;
    web = await startWeb({
      collect: () => (calls++ === 0 ? new Promise(() => {}) : [counter(1)]),
      config: () => webConfig({ maxRequests: 1 }),
    });
    const socket = await connectWithoutReading(web.port, "/metrics");
    await eventually("the scrape began", () => calls === 1);
    socket.destroy();
    await eventually("the scrape ended", () => web.scrapes.length === 1);
    expect(web.scrapes[0]?.outcome).toBe("aborted");
    expect((await ask(`${web.url}/metrics`)).status).toBe(200);
  });
});

describe("scrapes at once", () => {
  test("are served up to 40, and the 41st is sent away", async () => {
    let release = () => {};
    let collecting = 0;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    web = await startWeb({
      collect: async () => {
        collecting++;
        await released;
        return [counter(1_000)];
      },
    });
    const forty = Array.from({ length: 40 }, () => ask(`${web.url}/metrics`));
    await eventually("40 scrapes began", () => collecting === 40);
    const { status, headers, body } = await ask(`${web.url}/metrics`);
    expect(status).toBe(503);
    expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(body.toString()).toBe("Limit of concurrent requests reached (40), try again later.\n");
    expect(web.scrapes.map(({ outcome }) => outcome)).toEqual(["rejected"]);
    release();
    const answers = await Promise.all(forty);
    expect(
      answers.every((answer) => answer.status === 200 && answer.body.equals(answers[0]?.body ?? answer.body)),
    ).toBe(true);
    expect((await ask(`${web.url}/metrics`)).status).toBe(200);
  });

  test("are not bounded when the limit is 0", async () => {
    web = await startWeb({ collect: () => [counter(10)], config: () => webConfig({ maxRequests: 0 }) });
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask(`${web.url}/metrics`)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
  });
});

describe("a failure", () => {
  test.each([
    {
      kind: "thrown",
      collect: (): Family[] => {
        throw new Error("no snapshot");
      },
    },
    { kind: "rejected", collect: () => Promise.reject(new Error("no snapshot")) },
  ])("to collect ($kind) is answered with 500, counted and logged", async ({ collect }) => {
    web = await startWeb({ collect });
    const { status, headers, body } = await ask(`${web.url}/metrics`, {
      headers: { "Accept-Encoding": "gzip" },
    });
    expect(status).toBe(500);
    expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(headers["content-encoding"]).toBeUndefined();
    expect(body.toString()).toBe("The metrics could not be collected: no snapshot\n");
    expect(web.scrapes.map(({ outcome }) => outcome)).toEqual(["error"]);
    expect(web.log.join("")).toContain("no snapshot");
  });

  const failsAt = (series: number): Family => {
    const family: Family<number> = {
      ...counter(series + 1),
      items: Array.from({ length: series + 1 }, (_, i) => i),
      emit: (i, out) => {
        if (i === series) throw new Error("a field is missing");
        out.series(`n="${i}"`, i);
      },
    };
    return family as Family;
  };

  test("to write the first series is answered with 500, compressed or not", async () => {
    web = await startWeb({ collect: () => [failsAt(3)] });
    const { status, headers, body } = await ask(`${web.url}/metrics`, {
      headers: { "Accept-Encoding": "gzip" },
    });
    expect(status).toBe(500);
    expect(headers["content-encoding"]).toBeUndefined();
    expect(body.toString()).toContain("a field is missing");
    expect(web.scrapes.map(({ outcome }) => outcome)).toEqual(["error"]);
  });

  test.each(["identity", "gzip"])(
    "in the middle (%s) cuts the connection, so that half is not taken for all",
    async (encoding) => {
      web = await startWeb({ collect: () => [failsAt(50_000)] });
      await expect(ask(`${web.url}/metrics`, { headers: { "Accept-Encoding": encoding } })).rejects.toThrow(
        "aborted",
      );
      await eventually("the scrape ended", () => web.scrapes.length === 1);
      expect(web.scrapes[0]?.outcome).toBe("error");
      expect(web.log.join("")).toContain("a field is missing");
    },
  );
});

describe("collectors", () => {
  const ALL = ["cpu", "memory", "process", "network", "vmm", "info", "policy"] as const;
  const off = webConfig();
  const config = () => ({
    ...off,
    exporter: { ...off.exporter, collectors: { ...off.exporter.collectors, vmm: false } },
  });

  async function scrape(query: string) {
    const asked: string[] = [];
    web = await startWeb({
      config,
      collect: (isAsked) => {
        asked.push(...ALL.filter((name) => isAsked?.(name)));
        return [counter(1)];
      },
    });
    const { status, body } = await ask(`${web.url}/metrics${query}`);
    return { status, asked, text: body.toString() };
  }

  test.each([
    ["", ALL],
    ["?collect[]=cpu", ["cpu"]],
    ["?collect%5B%5D=cpu&collect%5B%5D=info", ["cpu", "info"]],
    ["?exclude[]=cpu&exclude[]=vmm", ["memory", "process", "network", "info", "policy"]],
    ["?collect=cpu&whatever=1", ALL],
  ])("of a scrape of /metrics%s are %j", async (query, expected) => {
    const { status, asked } = await scrape(query);
    expect(status).toBe(200);
    expect(asked).toEqual(expected);
  });

  test.each([
    [
      "?collect[]=cpus",
      /^unknown collector "cpus"; allowed: cpu, memory, process, network, vmm, info, policy\n$/,
    ],
    ["?collect[]=cpu&collect[]=", /^unknown collector ""; /],
    ["?exclude[]=x", /^unknown collector "x"; /],
    ["?collect[]=vmm", /^the collector vmm is off; exporter.collectors or --collector.vmm has it on\n$/],
    ["?collect[]=cpu&exclude[]=info", /^collect\[\] and exclude\[\] exclude each other/],
  ])("of a scrape of /metrics%s are refused", async (query, words) => {
    const { status, asked, text } = await scrape(query);
    expect({ status, asked }).toEqual({ status: 400, asked: [] });
    expect(text).toMatch(words);
  });
});
