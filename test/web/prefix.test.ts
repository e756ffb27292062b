import { afterEach, describe, expect, test } from "vitest";
import { externalUrl, routePrefix, routePrefixOf, type WebConfig } from "../../src/config/sections.ts";
import { ask, type RunningWeb, startWeb, webConfig } from "../support/web.ts";

let web: RunningWeb;

afterEach(() => web?.stop());

async function start(settings: Partial<WebConfig>): Promise<void> {
  web = await startWeb({ config: () => webConfig(settings) });
}

describe("the route prefix is, as Prometheus has it,", () => {
  test.each([
    [null, null, ""],
    [null, "https://example.org", ""],
    [null, "https://example.org/a/b/", "/a/b"],
    ["/", "https://example.org/a/b", ""],
    ["x", "https://example.org/a/b", "/x"],
    ["//x/y//", null, "/x/y"],
  ])("with route_prefix %s and external_url %s: %j", (prefix, url, expected) => {
    const read = {
      routePrefix: prefix === null ? null : (routePrefix(prefix) as string),
      externalUrl: url === null ? null : (externalUrl(url) as string),
    };
    expect(routePrefixOf({ ...webConfig().web, ...read })).toBe(expected);
  });
});

describe("below a route prefix", () => {
  const below = { routePrefix: "/mon/albatross" };

  test.each(["/", "/metrics", "/api/v1/vms", "/-/healthy", "/-/ready", "/?page=2"])(
    "%s is served there and not at the root",
    async (path) => {
      await start(below);
      expect((await ask(`${web.url}/mon/albatross${path}`)).status).toBe(200);
      expect((await ask(`${web.url}${path}`)).status).toBe(/^\/(\?|$)/.test(path) ? 302 : 404);
    },
  );

  test.each([
    ["/", "/mon/albatross/"],
    ["/?group=web", "/mon/albatross/?group=web"],
    ["/mon/albatross", "/mon/albatross/"],
    ["/mon/albatross?page=2", "/mon/albatross/?page=2"],
  ])("%s leads to %s by a relative way", async (path, target) => {
    await start(below);
    const { status, headers } = await ask(`${web.url}${path}`);
    expect([status, headers.location?.startsWith("./")]).toEqual([302, true]);
    expect(new URL(headers.location ?? "", `${web.url}${path}`).href).toBe(`${web.url}${target}`);
  });

  test.each(["/nothing", "/mon", "/mon/albatrossx/", "/mon/albatross/no/such", "/groups/h/user:web"])(
    "%s is nothing, and the page that says so leads to the front page",
    async (path) => {
      await start(below);
      const { status, body } = await ask(`${web.url}${path}`, { headers: { Accept: "text/html" } });
      expect(status).toBe(404);
      const [, href = ""] = /<a href="([^"]+)"/.exec(body.toString()) ?? [];
      expect(new URL(href, `${web.url}${path}`).href).toBe(`${web.url}/mon/albatross/`);
    },
  );

  test("one line says where things are", async () => {
    await start(below);
    const { body } = await ask(`${web.url}/mon/albatross/nothing`, { headers: { Accept: "text/plain" } });
    expect(body.toString()).toBe(
      "There is nothing at /nothing. The metrics are at /mon/albatross/metrics, links to all else at /mon/albatross/.\n",
    );
  });

  test("an absolute request line, as a proxy may send it, is understood", async () => {
    await start(below);
    const { status } = await ask(`${web.url}`, { path: `${web.url}/mon/albatross/-/healthy` });
    expect(status).toBe(200);
  });
});

test("what is nowhere is said with the external URL", async () => {
  await start({ externalUrl: "https://example.org/x", routePrefix: "" });
  expect((await ask(`${web.url}/nothing`)).body.toString()).toBe(
    "There is nothing at /nothing. The metrics are at https://example.org/x/metrics, links to all else at https://example.org/x/.\n",
  );
});
