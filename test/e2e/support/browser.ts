import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";

export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 360, height: 740 };

/** How people look at a page: the four ways that every page is held to. */
export const WAYS = [
  { viewport: DESKTOP, colorScheme: "light" },
  { viewport: DESKTOP, colorScheme: "dark" },
  { viewport: PHONE, colorScheme: "light" },
  { viewport: PHONE, colorScheme: "dark" },
] as const;

interface Look {
  readonly viewport?: typeof PHONE;
  readonly colorScheme?: "light" | "dark";
  readonly javaScript?: boolean;
  /** for what a test puts into the page itself */
  readonly bypassCSP?: boolean;
  /** time passes only as the test says */
  readonly fakeTime?: boolean;
}

/** Opens pages in one Chromium for all tests of the `describe` that this is called in. */
export function inChromium() {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  });
  afterAll(() => browser.close());

  /** A page and what it complained about: console, scripts, requests, its own Content-Security-Policy. */
  return async function openPage(
    url: string,
    look: Look = {},
  ): Promise<{ page: Page; complaints: string[] }> {
    const { viewport = DESKTOP, colorScheme = "light", javaScript = true, bypassCSP = false } = look;
    const context = await browser.newContext({
      ...{ viewport, colorScheme, bypassCSP, javaScriptEnabled: javaScript },
    });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    if (look.fakeTime) await page.clock.install();
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("requestfailed", (request) =>
      complaints.push(`cannot load ${request.url()}: ${request.failure()?.errorText}`),
    );
    await page.goto(url);
    return { page, complaints };
  };
}

/**
 * Runs in the page: what reaches beyond the screen, takes no room although it holds text, or would have to be scrolled
 * sideways. Text, for the types of the DOM are not those of these tests.
 */
export const CUT_OFF = `[...document.body.querySelectorAll("*")]
  .filter((element) => getComputedStyle(element).display !== "none" && (element.innerText ?? "").trim() !== "")
  .filter((element) => {
    const { left, right, height } = element.getBoundingClientRect();
    const scrolls = getComputedStyle(element).display !== "inline" && element.scrollWidth > element.clientWidth;
    return scrolls || left < 0 || right > window.innerWidth || height === 0;
  })
  .map((element) => element.outerHTML.slice(0, 200))`;

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** What axe-core finds on a page opened with `bypassCSP`, of any weight: `serious color-contrast: <span ...>`. */
export async function axeFinds(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(AXE, "utf8"));
  return page.evaluate(`axe.run().then(({ violations }) => violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ html }) => impact + " " + id + ": " + html.slice(0, 200))))`);
}

/** What Tab reaches, in its order, until it leaves the page: the text, or the name, of each. */
export async function tabbed(page: Page): Promise<string[]> {
  const reached: string[] = [];
  const focused = `(() => {
    const at = document.activeElement;
    return at === document.body ? null : at.getAttribute("href") ?? (at.id || at.textContent);
  })()`;
  for (;;) {
    await page.keyboard.press("Tab");
    const name: string | null = await page.evaluate(focused);
    if (name === null) return reached;
    reached.push(name);
  }
}
