import { createHash } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { html } from "../../src/web/page.ts";
import {
  ask,
  type RunningWeb,
  startWeb,
  subscriptionSnapshot,
  targetSnapshot,
  webConfig,
} from "../support/web.ts";

let web: RunningWeb;

afterEach(() => web?.stop());

/** What a person reads: tags gone, entities resolved, blanks joined. */
function readable(page: string): string {
  return page
    .replace(/<style>.*<\/style>/s, "")
    .replace(/<[^>]+>/g, " ")
    .replaceAll("&lt;", "<")
    .replaceAll("&amp;", "&")
    .replace(/\s+/g, " ");
}

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
    expect(text).toContain("Version 1.2.3.");
    expect(text).toContain("1 of 2 hosts are up.");
    expect(text).toContain("local: up");
    expect(text).toContain(": receiving samples 3 s ago 1,234");
    expect(text).toContain("far: down");
    expect(text).toContain(
      "Unikernel info cannot be read , so limits, CPUs and policies are missing. vmmd.sock: permission denied",
    );
    expect(text).toContain("user: displaced: another client");
    expect(text).toContain("closed 3 times within 5 min none yet 0");
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

  test("links to nothing that is not there", async () => {
    web = await startWeb({
      config: () => webConfig({ telemetryPath: "/some/metrics", maxRequests: 1, writeTimeoutMs: 1 }),
    });
    const page = (await ask(`${web.url}/`)).body.toString();
    const links = [...page.matchAll(/<a href="([^"]+)"/g)].map(([, link]) => link);
    expect(links).toContain("/some/metrics");
    for (const link of links)
      expect((await ask(`${web.url}${link}`, { method: "HEAD" })).status, link).toBe(200);
  });

  test("escapes what comes from outside, and lets the browser run and load nothing", async () => {
    web = await startWeb({ targets: () => [targetSnapshot({ name: `<script>alert("1")</script>&'` })] });
    const { headers, body } = await ask(`${web.url}/`);
    const page = body.toString();
    expect(page).toContain("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;");
    expect(page).not.toContain("<script");
    const style = /<style>(.*)<\/style>/s.exec(page)?.[1] ?? "";
    const hash = createHash("sha256").update(style).digest("base64");
    expect(headers["content-security-policy"]).toContain(`style-src 'sha256-${hash}'`);
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
    expect(page).not.toMatch(/\s(?:style|on\w+)=/);
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
