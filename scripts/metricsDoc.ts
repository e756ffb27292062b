/**
 * Writes docs/metrics.md from the metric tables. With --check it writes nothing and exits 1 if the file differs.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { documentWith } from "../src/exporter/docs.ts";
import { scalerSections } from "../src/scaler/report/metrics.ts";

const file = new URL("../docs/metrics.md", import.meta.url);
const wanted = documentWith(scalerSections());

if (!process.argv.includes("--check")) {
  writeFileSync(file, wanted);
} else if (readFileSync(file, "utf8") !== wanted) {
  console.error(
    "docs/metrics.md does not say what the metric tables say: run `npm run docs` and commit the result",
  );
  process.exitCode = 1;
}
