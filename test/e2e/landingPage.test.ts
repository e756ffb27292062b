import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { requireProgram } from "../support/requireProgram.ts";
import { Serving, startSimulatedHost, temporaryFolder, until } from "../support/serving.ts";
import { CUT_OFF, inChromium, PHONE } from "./support/browser.ts";

/** The running program with a host that is up and one that is not there. */
async function serveTwo(): Promise<Serving> {
  const folder = await temporaryFolder();
  await startSimulatedHost(join(folder, "here"), 3, 300);
  const config = `targets:
  - { name: rack1.example.org, socket_dir: ${join(folder, "here")}, subscribe: ["load:", ":hello"] }
  - { name: rack2.example.org, socket_dir: ${join(folder, "nowhere")} }
web: { listen_addresses: ["127.0.0.1:0"] }
`;
  const serving = await Serving.start(folder, config);
  await until(
    "samples, and an attempt to find the other host",
    () => serving.get("/"),
    (page) => page.includes("receiving samples") && page.includes("stat.sock does not exist"),
  );
  return serving;
}

// Where a browser and the other tests leave a simulated host no processor for a second, its VMs are missing on the page.
describe.skipIf(!requireProgram("chromium"))("in a browser", { retry: 2 }, () => {
  const openPage = inChromium();

  test("the front page shows each host and its state, and leads to the metrics", async () => {
    const { url } = await serveTwo();
    const { page, complaints } = await openPage(url);
    expect(await page.title()).toBe("(1) albatross-exporter");
    const hosts = page.getByRole("region", { name: "Hosts" });
    const row = (name: RegExp) => hosts.getByRole("row", { name }).count();
    expect(await row(/^rack1.example.org up load: receiving samples \d+ s ago [\d,]+ read none$/)).toBe(1);
    expect(await row(/^rack1.example.org up :hello subscribed; no sample has arrived yet/)).toBe(1);
    expect(await row(/^rack2.example.org down : not connected.*stat\.sock does not exist/)).toBe(1);
    const wrong = page.getByRole("region", { name: "One thing needs somebody" });
    expect(await wrong.getByRole("heading", { level: 3 }).textContent()).toBe(
      "Host rack2.example.org is down",
    );

    const hrefs = await page
      .locator("a")
      .evaluateAll((links) => links.map((link) => link.getAttribute("href") ?? ""));
    expect(hrefs.length).toBeGreaterThan(8);
    for (const href of hrefs) {
      const abort = new AbortController();
      // The stream never ends: its headers are enough.
      const answer = await fetch(new URL(href, url), { signal: abort.signal });
      expect([href, answer.status]).toEqual([href, 200]);
      abort.abort();
    }
    await page.getByRole("link", { name: "Metrics" }).click();
    expect(new URL(page.url()).pathname).toBe("/metrics");
    expect(await page.locator("body").textContent()).toContain('albatross_up{host="rack1.example.org"} 1');
    await page.goBack();
    await page.getByRole("link", { name: "/api/v1/vms" }).click();
    expect(await page.locator("body").textContent()).toContain('"name":"load:vm-1"');
    expect(complaints).toEqual([]);
  });

  test("a page that does not exist says so and leads back", async () => {
    const { url } = await serveTwo();
    const { page, complaints } = await openPage(`${url}/no/such/page`);
    expect(await page.getByRole("heading").textContent()).toBe("There is nothing here");
    await page.getByRole("link").click();
    // so many things are wrong, more of them where the machine is busy
    expect(await page.title()).toMatch(/^\(\d\) albatross-exporter$/);
    // What Chromium says of every 404.
    expect(complaints.filter((text) => !text.includes("status of 404"))).toEqual([]);
  });

  test("everything can be read at the width of a phone", async () => {
    const { url } = await serveTwo();
    const { page, complaints } = await openPage(url, { viewport: PHONE });
    expect(await page.evaluate(CUT_OFF)).toEqual([]);
    // Without the heads of the columns each figure says what it is.
    const label = await page.evaluate(
      `getComputedStyle(document.querySelector('td[data-label="Last sample"]'), "::before").content`,
    );
    expect(label).toBe('"Last sample: "');
    expect(complaints).toEqual([]);
  });
});
