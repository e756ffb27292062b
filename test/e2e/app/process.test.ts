import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { bigScrape, Serving, startSimulatedHost, temporaryFolder, until } from "../../support/serving.ts";

const RELOADED = "albatross_exporter_config_last_reload_successful";

function configFor(folder: string, more = ""): string {
  return `targets: [{ name: demo, socket_dir: ${folder} }]\nweb: { listen_addresses: ["127.0.0.1:0"] }\n${more}`;
}

test("it serves what a host says, lets its VMs be asked for, and ends with 0 on SIGTERM", async () => {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, 3);
  const serving = await Serving.start(folder, configFor(folder));
  const usage = 'albatross_vm_cpu_usage_percent{host="demo",path="load",vm="vm-2"}';
  // half of a CPU; the first figures are of a time when the processors were busy starting programs
  await until(
    "its CPU usage",
    () => serving.metric(usage),
    (value) => value !== undefined && value > 40 && value < 60,
  );
  expect(await serving.metric('albatross_up{host="demo"}')).toBe(1);
  expect(JSON.parse(await serving.get("/api/v1/vms")).data.map((vm: { name: string }) => vm.name)).toEqual([
    "load:vm-1",
    "load:vm-2",
    "load:vm-3",
  ]);
  expect(JSON.parse(await serving.get("/api/v1/groups")).data).toHaveLength(3);
  expect(JSON.parse(await serving.get("/api/v1/status/config")).data.yaml).toContain(`socket_dir: ${folder}`);
  serving.signal("SIGTERM");
  expect(await serving.exited).toBe(0);
  expect(serving.events.at(-1)).toMatchObject({ level: "info", msg: "stopped" });
});

describe("SIGHUP", () => {
  test("with a broken file keeps everything running, says what is wrong, and a right one is taken", async () => {
    const folder = await temporaryFolder();
    await startSimulatedHost(folder, 1);
    const serving = await Serving.start(folder, configFor(folder));
    const connects = 'albatross_stats_connects_total{host="demo",subscription=":"}';
    await until(
      "a subscription",
      () => serving.metric(connects),
      (value) => value === 1,
    );
    expect(await serving.metric(RELOADED)).toBe(1);

    await writeFile(serving.configFile, "targets: [{ name: demo }]\nweb: { max_request: 3 }\n");
    serving.signal("SIGHUP");
    await serving.logged("configuration not reloaded: the one before stays in force");
    expect(serving.events).toContainEqual(
      expect.objectContaining({
        problem: expect.stringContaining(":2:8: web.max_request: unknown key, did you mean"),
      }),
    );
    expect(await serving.metric(RELOADED)).toBe(0);
    expect(await serving.metric(connects)).toBe(1);

    const none = `${folder}/none`;
    await writeFile(
      serving.configFile,
      `targets: [{ name: demo, socket_dir: ${folder} }, { name: new, socket_dir: ${none} }]\nweb: { listen_addresses: ["127.0.0.1:0"], telemetry_path: /m }\n`,
    );
    serving.signal("SIGHUP");
    await serving.logged("configuration reloaded");
    const metrics = await serving.get("/m");
    expect(metrics).toContain(`\n${RELOADED} 1\n`);
    expect(metrics).toContain('\nalbatross_up{host="new"} 0\n');
    // A target that did not change keeps its connection.
    expect(metrics).toContain(`\n${connects} 1\n`);
    expect(await serving.get("/metrics")).toContain("There is nothing at /metrics");

    await writeFile(serving.configFile, `targets: [{ name: new, socket_dir: ${none} }]\n`);
    serving.signal("SIGTERM");
    expect(await serving.exited).toBe(0);
  });

  test.each([
    ["is missing", (file: string) => rm(file), "no such file"],
    ["is empty", (file: string) => writeFile(file, "\n"), "is empty; allowed on a reload: "],
    ["is a directory", (file: string) => rm(file).then(() => mkdir(file)), "is a directory, not"],
  ])("of a file that %s keeps the one before in force, and shows it", async (_, damage, problem) => {
    const folder = await temporaryFolder();
    // from the working directory, as without --config.file
    const args = ["--web.telemetry-path", "/flag"];
    const serving = await Serving.start(folder, configFor(`${folder}/none`), args, { inFolder: true });
    const read = async () => JSON.parse(await serving.get("/api/v1/status/config")).data;
    const { yaml, last_reload: first } = await read();
    expect(first).toMatchObject({ successful: true, problems: [] });
    await damage(serving.configFile);
    serving.signal("SIGHUP");
    await serving.logged("configuration not reloaded: the one before stays in force");
    const problems = [expect.stringContaining(`config.yaml: ${problem}`)];
    expect(await read()).toMatchObject({ yaml, last_reload: { successful: false, problems } });
    expect(await serving.get("/")).toContain(`config.yaml: ${problem}`);
    expect(await serving.get("/flag")).toContain(`\n${RELOADED} 0\n`);
    expect(await serving.get("/flag")).toContain('\nalbatross_up{host="demo"} 0\n');

    await rm(serving.configFile, { recursive: true, force: true });
    await writeFile(serving.configFile, configFor(`${folder}/none`));
    serving.signal("SIGHUP");
    await serving.logged("configuration reloaded");
    expect((await read()).last_reload).toMatchObject({ successful: true, problems: [] });
    expect(await serving.get("/")).not.toContain("not reloaded");
  });

  test("with an address that cannot be had changes nothing", async () => {
    const folder = await temporaryFolder();
    const taken = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void taken.close());
    await new Promise((resolve) => {
      taken.once("listening", resolve);
    });
    const { port } = taken.address() as { port: number };
    const serving = await Serving.start(folder, configFor(folder));
    await writeFile(serving.configFile, `web: { listen_addresses: ["127.0.0.1:0", "127.0.0.1:${port}"] }\n`);
    serving.signal("SIGHUP");
    const [event] = await serving.logged("configuration not reloaded: the one before stays in force");
    expect(event?.["reason"]).toContain(`cannot listen on 127.0.0.1:${port}`);
    expect(await serving.metric(RELOADED)).toBe(0);
    expect(await serving.metric('albatross_up{host="demo"}')).toBe(0);
  });

  test("moves to another address while the old one's port is wanted otherwise", async () => {
    const folder = await temporaryFolder();
    const serving = await Serving.start(folder, `web: { listen_addresses: ["127.0.0.1:0"] }\n`);
    const { port } = new URL(serving.url);
    await writeFile(serving.configFile, `web: { listen_addresses: ["localhost:${port}"] }\n`);
    serving.signal("SIGHUP");
    await serving.logged("configuration reloaded");
    expect(await (await fetch(`http://localhost:${port}/-/ready`)).text()).toContain("is ready");
  });

  test("stays at the old address when none of the new ones can be had in its place", async () => {
    const folder = await temporaryFolder();
    const serving = await Serving.start(folder, `web: { listen_addresses: ["127.0.0.1:0"] }\n`);
    const { port } = new URL(serving.url);
    await writeFile(serving.configFile, `web: { listen_addresses: ["localhost:${port}", "192.0.2.1:1"] }\n`);
    serving.signal("SIGHUP");
    await serving.logged("configuration not reloaded: the one before stays in force");
    expect(await serving.metric(RELOADED)).toBe(0);
  });

  test("does not override the command line", async () => {
    const folder = await temporaryFolder();
    const serving = await Serving.start(folder, configFor(folder), ["--web.telemetry-path", "/flag"]);
    await writeFile(
      serving.configFile,
      `web: { listen_addresses: ["127.0.0.1:0"], telemetry_path: /file }\n`,
    );
    serving.signal("SIGHUP");
    await serving.logged("configuration reloaded");
    expect(await serving.get("/flag")).toContain(`\n${RELOADED} 1\n`);
  });
});

describe("SIGTERM", () => {
  test("in the middle of a scrape finishes it", async () => {
    const { serving, socket } = await bigScrape(await temporaryFolder());
    serving.signal("SIGTERM");
    await serving.logged("stopping");
    let text = "";
    for await (const chunk of socket.setEncoding("latin1")) text += chunk;
    expect(text.length).toBeGreaterThan(10_000_000);
    expect(text.slice(-30)).toMatch(/# EOF\n\r\n0\r\n\r\n$/);
    expect(await serving.exited).toBe(0);
  });

  test("does not wait for a client that has stopped reading: it ends with 0 within 5 s", async () => {
    const { serving } = await bigScrape(await temporaryFolder());
    const startedAt = performance.now();
    serving.signal("SIGTERM");
    expect(await serving.exited).toBe(0);
    // of which a busy machine may make three times as many; the client's own limit would be 30 s
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });
});

test("SIGINT ends it as SIGTERM does", async () => {
  const serving = await Serving.start(
    await temporaryFolder(),
    `web: { listen_addresses: ["127.0.0.1:0"] }\n`,
  );
  serving.signal("SIGINT");
  expect(await serving.exited).toBe(0);
});

test("an address that cannot be had is one line and exit code 1", async () => {
  const folder = await temporaryFolder();
  const serving = await Serving.start(folder, `web: { listen_addresses: ["127.0.0.1:0"] }\n`);
  const { host } = new URL(serving.url);
  const second = await Serving.launch(folder, `web: { listen_addresses: ["${host}"] }\n`);
  expect(await second.exited).toBe(1);
  expect(second.events.at(-1)).toMatchObject({
    level: "error",
    msg: expect.stringContaining(`cannot listen on ${host}`),
  });
});

test("a socket directory that does not exist is no reason not to run", async () => {
  const folder = await temporaryFolder();
  const serving = await Serving.start(folder, configFor(`${folder}/later`));
  expect(await serving.metric('albatross_up{host="demo"}')).toBe(0);
  await startSimulatedHost(`${folder}/later`, 1, 100);
  await until(
    "the host",
    () => serving.metric('albatross_up{host="demo"}'),
    (up) => up === 1,
  );
});

test("an error that nothing was there to handle is one event and exit code 1", async () => {
  const code = 'process.on("SIGUSR2", () => { throw new Error("bo\\nom"); })';
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
  const serving = await Serving.launch(
    await temporaryFolder(),
    `web: { listen_addresses: ["127.0.0.1:0"] }\n`,
    ["--log.format", "logfmt"],
    { env },
  );
  await until(
    "the start",
    async () => serving.otherLines.join("\n"),
    (said) => said.includes("serving metrics"),
  );
  serving.signal("SIGUSR2");
  expect(await serving.exited).toBe(1);
  expect(serving.otherLines.at(-1)).toMatch(/level=fatal msg="unexpected error" err="bo\\nom"$/);
});

describe("a log that nobody reads", () => {
  const WRONG = Array.from({ length: 3000 }, (_, index) => `key_${index}: 1\n`).join("");

  /** A program that has written 1 MiB and more of log since its log was last read. */
  async function withoutReader() {
    const folder = await temporaryFolder();
    const serving = await Serving.start(folder, configFor(`${folder}/none`));
    serving.readLog(false);
    await writeFile(serving.configFile, WRONG);
    const lost = "albatross_exporter_log_lines_lost_total";
    await until(
      "lost lines",
      async () => {
        serving.signal("SIGHUP");
        return await serving.metric(lost);
      },
      (lines) => Number(lines) > 0,
    );
    return serving;
  }

  test("stops nothing, SIGTERM included", async () => {
    const serving = await withoutReader();
    expect(await serving.get("/-/ready")).toContain("is ready");
    serving.signal("SIGTERM");
    expect(await serving.exited).toBe(0);
  });

  test("is told once it is read again", async () => {
    const serving = await withoutReader();
    serving.readLog(true);
    const [told] = await serving.logged("log lines were lost: nobody read the log, or it had no room");
    expect(told?.["lines"]).toBeGreaterThan(0);
    expect(serving.otherLines).toEqual([]);
  });
});
