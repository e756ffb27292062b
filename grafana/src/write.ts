/**
 * Writes grafana/dashboards/*.json. With --check it writes nothing and exits 1 if the files differ from the code, or if
 * there are others.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dashboards, fileText } from "./dashboards.ts";
import type { DashboardName } from "./shared/links.ts";

const FOLDER = fileURLToPath(new URL("../dashboards/", import.meta.url));
const names = Object.keys(dashboards) as DashboardName[];

if (process.argv.includes("--check")) check();
else {
  mkdirSync(FOLDER, { recursive: true });
  for (const name of names) writeFileSync(`${FOLDER}${name}.json`, fileText(name));
}

function check(): void {
  const wanted = names.map((name) => `${name}.json`);
  const there = existsSync(FOLDER) ? readdirSync(FOLDER) : [];
  const differing = names.filter(
    (name) =>
      !there.includes(`${name}.json`) || readFileSync(`${FOLDER}${name}.json`, "utf8") !== fileText(name),
  );
  const wrong = [
    ...differing.map((name) => `${name}.json is not what the code makes`),
    ...there.filter((file) => !wanted.includes(file)).map((file) => `${file} is made by no code`),
  ];
  if (wrong.length === 0) return;
  for (const line of wrong) console.error(`grafana/dashboards/${line}`);
  console.error("run `npm run dashboards` and commit the result");
  process.exitCode = 1;
}
