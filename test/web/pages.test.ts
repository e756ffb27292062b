import { createHash } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import type { RecentDecision, RecentQuery } from "../../src/scaler/report/log.ts";
import { html } from "../../src/web/html.ts";
import { ROUTE_LABELS } from "../../src/web/routes.ts";
import {
  ask,
  open,
  type RunningWeb,
  readable,
  SCALER,
  startWeb,
  subscriptionSnapshot,
  targetSnapshot,
  webConfig,
} from "../support/web.ts";

let web: RunningWeb;

afterEach(() => web?.stop());

describe("the front page", () => {
  test("says in words how each host and subscription is doing", async () => {
    web = await startWeb({
      targets: () => [
        targetSnapshot(),
        targetSnapshot({
          name: "far",
          up: false,
          infoReadable: false,
          infoError: "vmmd.sock: permission denied",
          subscriptions: [
            subscriptionSnapshot({
              subscription: "user:",
              state: "displaced",
              messages: 0,
              lastMessageWallMs: null,
              lastError: "closed 3 times within 5 min",
            }),
          ],
        }),
      ],
    });
    const { status, headers, body } = await ask(`${web.url}/`);
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    const text = readable(body.toString());
    expect(text).toContain("Version 1.2.3");
    expect(text).toContain("One thing needs somebody Host far is down closed 3 times within 5 min");
    expect(text).toContain("What to do: Stop the other client");
    expect(text).toContain("1 of 2 hosts are up.");
    expect(text).toContain("local up : receiving samples 3 s ago 1,234 read none");
    expect(text).toContain("far down user: displaced: another client");
    expect(text).toContain(
      "closed 3 times within 5 min none yet 0 cannot be read vmmd.sock: permission denied none",
    );
  });

  test.each([
    { targets: [], words: "No host is configured." },
    { targets: [targetSnapshot()], words: "The one host is up." },
    { targets: [targetSnapshot({ up: false })], words: "The one host is down." },
    { targets: [targetSnapshot(), targetSnapshot()], words: "All 2 hosts are up." },
    {
      targets: [targetSnapshot({ up: false }), targetSnapshot({ up: false })],
      words: "All 2 hosts are down.",
    },
  ])("sums up: $words", async ({ targets, words }) => {
    web = await startWeb({ targets: () => targets });
    expect(readable((await ask(`${web.url}/`)).body.toString())).toContain(words);
  });

  const day = 86_400_000;
  const until = (ms: number) =>
    ({
      certificate: "/etc/leaf.pem",
      use: "info",
      notAfterMs: Date.parse("2026-01-01T00:00:00Z") + ms,
    }) as const;

  test.each([
    ["lasts", [until(400 * day)], "read valid for 400 days", "Nothing needs you"],
    [
      "expires first",
      [until(400 * day), until(3 * day)],
      "read valid for 3 days",
      "A certificate of local expires soon",
    ],
    [
      "has expired",
      [until(-1)],
      "read expired",
      "A certificate of local has expired /etc/leaf.pem is valid until",
    ],
  ])("says until when a host's certificates are good: one %s", async (_, certificates, row, words) => {
    web = await startWeb({ targets: () => [targetSnapshot({ certificates })] });
    const text = readable((await ask(`${web.url}/`)).body.toString());
    expect(text).toContain(row);
    expect(text).toContain(words);
  });

  test("says why new certificates are not taken, above all where those before are of no use", async () => {
    const certificateError = "new.key: is not the key of new.pem";
    const change = { certificates: [until(-1)], certificateError, infoReadable: false };
    web = await startWeb({ targets: () => [targetSnapshot(change)] });
    const text = readable((await ask(`${web.url}/`)).body.toString());
    expect(text).toContain(
      `New certificates of local cannot be used: those before stay in use ${certificateError}`,
    );
  });

  test("shows a host that has no subscription yet", async () => {
    web = await startWeb({ targets: () => [targetSnapshot({ name: "far", up: false, subscriptions: [] })] });
    const text = readable((await ask(`${web.url}/`)).body.toString());
    expect(text).toContain("far down no subscription yet read none");
    expect(text).toContain("Host far is down No sample arrives. What to do:");
  });

  test("links to nothing that is not there", async () => {
    web = await startWeb({
      config: () => webConfig({ telemetryPath: "/some/metrics", maxRequests: 1, writeTimeoutMs: 1 }),
    });
    const page = (await ask(`${web.url}/`)).body.toString();
    const links = [...page.matchAll(/<a href="([^"]+)"/g)].map(([, link]) => link);
    expect(links).toContain("./some/metrics");
    for (const link of links)
      expect((await ask(new URL(link ?? "", web.url).href, { method: "HEAD" })).status, link).toBe(200);
  });

  test("escapes what comes from outside, and lets the browser run nothing but its own script", async () => {
    web = await startWeb({ targets: () => [targetSnapshot({ name: `<script>alert("1")</script>&'` })] });
    const { headers, body } = await ask(`${web.url}/`);
    const page = body.toString();
    expect(page).toContain("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;");
    expect(page.match(/<script/g)).toHaveLength(1);
    for (const kind of ["style", "script"]) {
      const text = new RegExp(`<${kind}[^>]*>(.*)</${kind}>`, "s").exec(page)?.[1] ?? "";
      const hash = createHash("sha256").update(text).digest("base64");
      expect(headers["content-security-policy"]).toContain(`${kind}-src 'sha256-${hash}'`);
    }
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
    expect(page).not.toMatch(/\s(?:style|on\w+)=/);
  });
});

describe("the front page says of the scaler", () => {
  const poll = {
    mode: "dry_run",
    pollIntervalMs: 60_000,
    groups: 0,
    lastTickMs: null,
    isOff: false,
  } as const;

  test.each([
    ["nothing yet", poll, "No group has been evaluated yet."],
    [
      "that nothing is scaled",
      { ...poll, lastTickMs: Date.parse("2025-12-31T23:59:48Z") },
      "No policy matches any of 0 groups; they are evaluated every 60 s, last 12 s ago.",
    ],
    [
      "what it does with one group",
      { ...poll, groups: 1, lastTickMs: Date.parse("2025-12-31T23:59:48Z") },
      "1 group under policies, evaluated every 60 s, last 12 s ago. Dry run: decisions are counted and logged, not carried out.",
    ],
    [
      "that it stands still",
      { ...poll, groups: 1, lastTickMs: Date.parse("2025-12-31T23:56:58Z") },
      "One thing needs somebody No group has been evaluated for 3 min",
    ],
    [
      "that it is off",
      { ...poll, isOff: true },
      "One thing needs somebody Nothing is scaled: the scaler's state cannot be read",
    ],
  ])("%s", async (_, summary, words) => {
    web = await startWeb({ scaler: { ...SCALER, summary: () => summary } });
    expect(readable((await ask(`${web.url}/`)).body.toString())).toContain(words);
  });

  test("which scale decisions were the last, of either direction, in words", async () => {
    const at = (second: number, decision: "scale_up" | "scale_down") => ({
      ...{ host: "h", path: "user", group: "web", decision, text: `Why <${decision}> at ${second}.` },
      time: `2025-12-31T23:59:${second}.000Z`,
    });
    const taken = [
      ...Array.from({ length: 9 }, (_, i) => at(58 - 2 * i, "scale_up")),
      ...Array.from({ length: 9 }, (_, i) => at(59 - 2 * i, "scale_down")),
    ];
    const decisions = ({ limit, decision }: RecentQuery) =>
      taken.filter((one) => one.decision === decision).slice(0, limit) as unknown as RecentDecision[];
    web = await startWeb({ scaler: { ...SCALER, decisions } });
    const page = (await ask(`${web.url}/`)).body.toString();
    const told = [...page.matchAll(/Why &lt;(\w+)&gt; at (\d+)/g)].map(
      ([, decision, second]) => `${decision} ${second}`,
    );
    const newest = Array.from(
      { length: 10 },
      (_, i) => `${i % 2 === 0 ? "scale_down" : "scale_up"} ${59 - i}`,
    );
    expect(told).toEqual(newest);
    expect(page).toContain('<a href="groups/h/user:web">user:web</a>');
    expect(readable(page)).toContain("1 s ago user:web on h Why");
  });
});

test("what is inserted into HTML is escaped unless it is HTML", () => {
  const inner = html`<b>${"<i>"}</b>`;
  expect(html`<p title="${'"'}">${inner}${[inner, inner]}${3}</p>`.text).toBe(
    '<p title="&quot;"><b>&lt;i&gt;</b><b>&lt;i&gt;</b><b>&lt;i&gt;</b>3</p>',
  );
});

describe("health", () => {
  test.each([
    { route: "/-/healthy", ready: false, status: 200, line: "albatross-exporter is healthy." },
    { route: "/-/ready", ready: true, status: 200, line: "albatross-exporter is ready." },
    { route: "/-/ready", ready: false, status: 503, line: "albatross-exporter is not ready yet." },
  ])("$route answers $status where ready is $ready", async ({ route, ready, status, line }) => {
    web = await startWeb({ isReady: () => ready });
    const answer = await ask(`${web.url}${route}`);
    expect(answer.status).toBe(status);
    expect(answer.body.toString()).toBe(`${line}\n`);
  });
});

describe("a path that leads nowhere", () => {
  test("is explained to a browser with a page", async () => {
    web = await startWeb();
    const { status, headers, body } = await ask(`${web.url}/<b>nothing</b>?x`, {
      headers: { Accept: "text/html,application/xhtml+xml,*/*;q=0.8" },
    });
    expect(status).toBe(404);
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(body.toString()).toContain("There is nothing here");
    expect(body.toString()).not.toContain("<b>");
  });

  test.each(["*/*", "text/plain", "application/json", undefined])(
    "is explained in one line to who accepts %s",
    async (accept) => {
      web = await startWeb();
      const headers: Record<string, string> = accept === undefined ? {} : { Accept: accept };
      const answer = await ask(`${web.url}/metric`, { headers });
      expect(answer.status).toBe(404);
      expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
      expect(answer.body.toString()).toBe(
        "There is nothing at /metric. The metrics are at /metrics, links to all else at /.\n",
      );
    },
  );

  test.each(["/%", "/%zz", "//", "/..%2f", "/api/%00"])("is a 404 also when it is %s", async (path) => {
    web = await startWeb();
    expect((await ask(`${web.url}${path}`)).status).toBe(404);
  });
});

describe("POST /-/reload", () => {
  const reloading = (problems: readonly string[], enableLifecycle = true) => {
    let reloads = 0;
    const overrides = {
      config: () => webConfig({ enableLifecycle }),
      reload: async () => void reloads++,
      lastReload: () => ({ timeMs: 0, problems: reloads === 0 ? ["an earlier one"] : problems }),
    };
    return { overrides, reloads: () => reloads };
  };
  const post = (method = "POST") => ask(`${web.url}/-/reload`, { method });

  test.each(["POST", "PUT"])("is refused as in Prometheus where it is not enabled (%s)", async (method) => {
    const { overrides, reloads } = reloading([], false);
    web = await startWeb(overrides);
    const { status, body } = await post(method);
    expect(status).toBe(403);
    expect(body.toString()).toMatch(/^Lifecycle API is not enabled/);
    expect(reloads()).toBe(0);
  });

  test("reads the configuration again, and says what was wrong with it", async () => {
    const right = reloading([]);
    web = await startWeb(right.overrides);
    expect((await post()).status).toBe(200);
    expect(right.reloads()).toBe(1);
    await web.stop();
    const wrong = reloading(["config.yaml:1:1: tragets: unknown key", "config.yaml:2:1: more"]);
    web = await startWeb(wrong.overrides);
    const { status, body } = await post("PUT");
    expect(status).toBe(500);
    expect(body.toString()).toBe(
      "failed to reload config: config.yaml:1:1: tragets: unknown key\nconfig.yaml:2:1: more\n",
    );
  });

  test.each(["GET", "HEAD", "DELETE"])("%s there changes nothing", async (method) => {
    const { overrides, reloads } = reloading([]);
    web = await startWeb(overrides);
    const { status, headers } = await post(method);
    expect({ status, allow: headers.allow }).toEqual({ status: 405, allow: "POST, PUT" });
    expect(reloads()).toBe(0);
  });
});

describe("HEAD", () => {
  test("is answered as GET is, without a body, at every address", async () => {
    web = await startWeb();
    for (const path of [
      ...ROUTE_LABELS.filter((route) => route.startsWith("/")),
      "/nothing",
      "/groups/a/b",
      "/api/v1/vms?x=1",
      "/metrics?collect[]=x",
    ]) {
      const url = `${web.url}${path}`;
      const [head, got] = await Promise.all([ask(url, { method: "HEAD" }), open(url)]);
      got.destroy();
      expect([path, head.status]).toEqual([path, got.statusCode]);
      expect(head.headers["content-type"]).toBe(got.headers["content-type"]);
      expect(head.body.length).toBe(0);
    }
  });
});

describe("a method that would change something", () => {
  test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])("%s is refused", async (method) => {
    web = await startWeb();
    for (const path of ["/metrics", "/", "/nothing"]) {
      const { status, headers } = await ask(`${web.url}${path}`, { method });
      expect(status).toBe(405);
      expect(headers.allow).toBe("GET, HEAD");
    }
  });

  test("is refused below /api in JSON", async () => {
    web = await startWeb();
    const { status, body } = await ask(`${web.url}/api/v1/vms`, { method: "POST" });
    expect(status).toBe(405);
    expect(JSON.parse(body.toString())).toMatchObject({ status: "error", errorType: "bad_data" });
  });
});

test.each(["/", "/metrics", "/api/v1/vms", "/-/healthy", "/nothing"])(
  "%s carries the headers of caution",
  async (path) => {
    web = await startWeb();
    const { headers } = await ask(`${web.url}${path}`);
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["cache-control"]).toBe("no-store");
    expect(headers["x-powered-by"]).toBeUndefined();
  },
);
