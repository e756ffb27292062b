import { describe, expect, it } from "vitest";
import { dashboards } from "../../grafana/src/dashboards.ts";
import { SCREENFUL } from "../../grafana/src/shared/layout.ts";
import {
  type DashboardJson,
  dashboardNames,
  dashboardText,
  figurePanels,
  type GridPos,
  isQuery,
  readDashboard,
} from "../support/dashboards.ts";

/** What bookmarks and links in other people's notes hold: never to change. */
const UIDS: Readonly<Record<string, string>> = {
  exporter: "albatross-exporter",
  fleet: "albatross-fleet",
  scaler: "albatross-scaler",
  vm: "albatross-vm",
};

const DATASOURCE_VARIABLE = "$" + "{datasource}";

function overlap(a: GridPos, b: GridPos): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

/** Pairs of panels that cover each other, on the page as it opens and in each row unfolded. */
function overlapping({ panels }: DashboardJson): string[] {
  const layers = [panels, ...panels.flatMap((panel) => (panel.panels?.length ? [panel.panels] : []))];
  return layers.flatMap((layer) =>
    layer.flatMap((a, index) =>
      layer
        .slice(index + 1)
        .filter((b) => overlap(a.gridPos, b.gridPos))
        .map((b) => `${a.title} and ${b.title}`),
    ),
  );
}

/** Every value under a key of that name, however deep. */
function valuesOf(key: string, json: unknown): unknown[] {
  if (typeof json !== "object" || json === null) return [];
  return Object.entries(json).flatMap(([name, value]) => [
    ...(name === key ? [value] : []),
    ...valuesOf(key, value),
  ]);
}

it("there are four dashboards, as the code makes them", () => {
  expect(dashboardNames).toEqual(Object.keys(UIDS));
  for (const [name, make] of Object.entries(dashboards)) {
    expect(readDashboard(name)).toEqual(JSON.parse(JSON.stringify(make())));
  }
});

describe.each(dashboardNames)("the dashboard %s", (name) => {
  const dashboard = readDashboard(name);
  const panels = figurePanels(dashboard);

  it("has the address that it always had, and no number of its own", () => {
    expect(dashboard).toMatchObject({ uid: UIDS[name], schemaVersion: 39, tags: ["albatross"] });
    expect(dashboard).not.toHaveProperty("id");
    expect(dashboard).not.toHaveProperty("version");
  });

  it("has nothing that schema versions after its own migrate", () => {
    expect(dashboard).toMatchObject({ refresh: expect.any(String) });
    expect(dashboard).not.toHaveProperty("timepicker.time_options");
    const ids = [...valuesOf("id", dashboard.panels)];
    for (const id of ["custom.hideFrom", "formatTime"]) expect(ids).not.toContain(id);
  });

  it("asks the data source that is chosen, and no other", () => {
    const [first] = dashboard.templating.list;
    expect(first).toMatchObject({ name: "datasource", type: "datasource", query: "prometheus" });
    expect(first).not.toHaveProperty("current");
    const sources = valuesOf("datasource", dashboard);
    expect(sources.length).toBeGreaterThan(panels.length);
    for (const source of sources) expect(source).toEqual({ type: "prometheus", uid: DATASOURCE_VARIABLE });
    for (const { datasource, targets = [] } of panels) {
      expect([datasource, ...targets.map((target) => target.datasource)]).not.toContain(undefined);
    }
  });

  it("lets job, exporter, host, path, group and VM be chosen, several and all of them", () => {
    const variables = dashboard.templating.list.filter(isQuery);
    expect(variables.map((variable) => variable.name)).toEqual([
      "job",
      "instance",
      "host",
      "path",
      "group",
      "vm",
    ]);
    for (const variable of variables) expect(variable).toMatchObject({ multi: true, includeAll: true });
    // what is at the root has no label `path`, which no list of values would hold
    expect(variables.find((variable) => variable.name === "path")?.allValue).toBe(".*");
  });

  it("shows a variable exactly if its panels or the variables shown use it", () => {
    const variables = dashboard.templating.list.filter(isQuery);
    const expressions = JSON.stringify([dashboard.panels, dashboard.annotations]);
    const isUsed = (variable: string) =>
      new RegExp(`\\$(\\{${variable}\\W|${variable}\\W)`).test(expressions);
    expect(variables.filter(({ hide = 0 }) => hide === 0).map((variable) => variable.name)).toEqual(
      variables.map((variable) => variable.name).filter(isUsed),
    );
  });

  it("links to the others, with the values of the variables and the time range", () => {
    const others = Object.values(UIDS).filter((uid) => uid !== UIDS[name]);
    expect(dashboard.links.map(({ url }) => url).sort()).toEqual(others.map((uid) => `/d/${uid}`));
    for (const link of dashboard.links) expect(link).toMatchObject({ includeVars: true, keepTime: true });
  });

  it("links from figures to dashboards that there are, with data source, time range and variables there are", () => {
    const links = valuesOf("links", dashboard.panels).flat() as { url: string }[];
    const variables = dashboard.templating.list.map((variable) => variable.name);
    for (const { url } of links) {
      const [, uid = "", query = ""] = /^\/d\/([\w-]+)\?(.*)$/.exec(url) ?? [];
      expect(Object.values(UIDS)).toContain(uid);
      expect(query).toContain("$" + "{datasource:queryparam}");
      expect(query).toContain("$" + "{__url_time_range}");
      for (const [, variable] of query.matchAll(/var-(\w+)=/g)) expect(variables).toContain(variable);
    }
  });

  it("has no two panels in one place, nor any beside the grid", () => {
    expect(overlapping(dashboard)).toEqual([]);
    for (const { gridPos } of panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      expect(Math.min(gridPos.x, gridPos.y, gridPos.w - 1, gridPos.h - 1)).toBeGreaterThanOrEqual(0);
    }
  });

  it("has no more than a screenful before the first heading, and that screen is full", () => {
    const heading = dashboard.panels.find(({ type }) => type === "row");
    expect(heading?.gridPos.y).toBeGreaterThanOrEqual(16);
    expect(heading?.gridPos.y).toBeLessThanOrEqual(SCREENFUL);
  });

  it("numbers its panels and names them, each once", () => {
    const all = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
  });

  describe.each(panels.map((panel) => [panel.title, panel] as const))("panel %s", (_, panel) => {
    it("has a unit, decimals and thresholds", () => {
      const { unit, decimals, thresholds } = panel.fieldConfig?.defaults ?? {};
      expect(unit).toMatch(/^\w+$/);
      // a query's own unit may be seconds or bytes
      if (panel.title === "Load from PromQL") expect(decimals).toBeUndefined();
      else expect([0, 1, 2, 3, 4]).toContain(decimals);
      const values = thresholds?.steps.map(({ value }) => value) ?? [];
      expect(values[0]).toBeNull();
      expect(values.slice(1)).toEqual(values.slice(1).toSorted((a, b) => Number(a) - Number(b)));
    });

    it("says what it means and what to do", () => {
      const [means = "", todo = "", ...rest] = (panel.description ?? "").split("\n\n");
      expect(rest).toEqual([]);
      for (const text of [means, todo]) expect(text).toMatch(/^.{15,}\.$/s);
    });

    it("asks something, and names what comes back", () => {
      const { targets = [], type } = panel;
      expect(targets.map(({ refId }) => refId)).toEqual(
        [..."ABCDEFGHIJKLMNOP"].slice(0, Math.max(1, targets.length)),
      );
      if (type !== "table") for (const { legendFormat } of targets) expect(legendFormat).toMatch(/\w/);
    });
  });
});

it("a variable is the same on every dashboard, so that links keep it", () => {
  const lists = dashboardNames.map((name) =>
    readDashboard(name).templating.list.map(({ hide: _, ...variable }) => variable),
  );
  for (const list of lists) expect(list).toEqual(lists[0]);
});

it("no dashboard holds an address or an account", () => {
  for (const name of dashboardNames) expect(dashboardText(name)).not.toMatch(/https?:|localhost|password/);
});

describe("the variable path", () => {
  /** What Grafana makes a choice of: a result of Prometheus as its data source writes it. */
  function choice(line: string): { value: string | undefined; text: string | undefined } {
    const { regex = "" } = readDashboard("fleet").templating.list.find(({ name }) => name === "path") ?? {};
    const { value, text } = new RegExp(regex.slice(1, -1)).exec(line)?.groups ?? {};
    return { value, text };
  }

  it("offers what is at the root under a name, and exactly that", () => {
    expect(choice('{at="^$",name="(root)"} 3 1700000000000')).toEqual({ value: "^$", text: "(root)" });
  });

  it("offers a path by its name, and no other that begins with it", () => {
    const { value = "", text } = choice('{at="^user:sub$",name="user:sub",path="user:sub"} 1 1700000000000');
    expect(text).toBe("user:sub");
    expect(["user:sub", "user:sub2", "a:user:sub"].filter((path) => new RegExp(value).test(path))).toEqual([
      "user:sub",
    ]);
  });
});
