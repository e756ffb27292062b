import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

interface LockedPackage {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const ROOT = `${import.meta.dirname}/../..`;

describe.each([".", "test/grafana-data"])("in %s", (folder) => {
  const read = (file: string) => JSON.parse(readFileSync(`${ROOT}/${folder}/${file}`, "utf8"));

  // `npm install` leaves out packages for other platforms that its registry does not have, and `npm ci` then refuses the
  // lock file on every platform.
  test("the lock file has the packages of every platform, so that npm ci takes it", () => {
    const { packages }: { packages: Readonly<Record<string, LockedPackage>> } = read("package-lock.json");
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !(`${path}/node_modules/${name}` in packages || `node_modules/${name}` in packages),
      ),
    );
    expect(missing).toEqual([]);
  });

  test("dependencies are pinned to exact versions", () => {
    const { dependencies, devDependencies } = read("package.json");
    for (const version of Object.values({ ...dependencies, ...devDependencies })) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    }
  });
});
