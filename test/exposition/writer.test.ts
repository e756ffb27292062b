import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { yieldToEventLoop } from "../../src/clock.ts";
import {
  type ExpositionFormat,
  type Family,
  type Labels,
  labelPairs,
  type Value,
} from "../../src/exposition/family.ts";
import { type RenderOptions, renderExposition } from "../../src/exposition/writer.ts";
import { collect } from "../support/collect.ts";
import { parseExposition } from "../support/expositionParser.ts";
import { FakeClock } from "../support/fakeClock.ts";

async function chunksOf(
  families: Family[],
  format: ExpositionFormat,
  options?: RenderOptions,
): Promise<Buffer[]> {
  return collect(renderExposition(families, format, options));
}

async function render(
  families: Family[],
  format: ExpositionFormat,
  options?: RenderOptions,
): Promise<string> {
  return Buffer.concat(await chunksOf(families, format, options)).toString();
}

function gauge(name: string, series: readonly (readonly [labels: string, value: Value])[]): Family {
  const family: Family<readonly [string, Value]> = {
    name,
    type: "gauge",
    help: "A gauge.",
    items: series,
    emit: ([labels, value], out) => out.series(labels, value),
  };
  return family;
}

const EVERY_KIND: Family[] = [
  {
    name: "albatross_vm_cpu_seconds_total",
    type: "counter",
    help: 'Time on a CPU ("utime", "stime" of rusage).\nPer mode; a \\ in between.',
    items: ["web", "db"],
    emit: (vm, out) => {
      out.series(`vm="${vm}",mode="user"`, "12.345678");
      out.series(`vm="${vm}",mode="system"`, "0.000001");
    },
  },
  { name: "albatross_vm_nothing_total", type: "counter", help: "No series.", items: ["web"], emit: () => {} },
  { name: "albatross_vm_empty", type: "gauge", help: "No items.", items: [], emit: () => {} },
  gauge("albatross_vm_values", [
    ['k="integer"', 9007199254740991],
    ['k="64 bits"', 18446744073709551615n],
    ['k="float"', 0.1],
    ['k="infinite"', Number.POSITIVE_INFINITY],
    ['k="negative"', Number.NEGATIVE_INFINITY],
    ['k="none"', Number.NaN],
    [labelPairs({ k: 'größe "🦅" \\ \n \ud83e' }), 1],
  ]),
  {
    name: "albatross_tick_duration_seconds",
    type: "histogram",
    help: "How long a tick took.",
    items: [null],
    emit: (_, out) => {
      out.suffixed("_bucket", 'le="0.1"', 1);
      out.suffixed("_bucket", 'le="+Inf"', 2);
      out.suffixed("_sum", "", 0.75);
      out.suffixed("_count", "", 2);
    },
  },
  gauge("albatross_up", [["", 1]]),
];

describe.each<ExpositionFormat>(["text", "openmetrics"])("in the format %s", (format) => {
  test("every kind of family is written as the golden file says", async () => {
    const golden = readFileSync(new URL(`./golden/every-kind.${format}.txt`, import.meta.url), "utf8");
    expect(await render(EVERY_KIND, format)).toBe(golden);
  });

  test("families without series leave no trace", async () => {
    const end = format === "openmetrics" ? "# EOF\n" : "";
    expect(await render(EVERY_KIND.slice(1, 3), format)).toBe(end);
    expect(await render([], format)).toBe(end);
  });

  test("what is written does not depend on where the buffers end", async () => {
    const whole = await render(EVERY_KIND, format);
    for (const chunkBytes of [1, 7, 64, 100, 150]) {
      expect(await render(EVERY_KIND, format, { chunkBytes })).toBe(whole);
    }
  });

  test("label values and values come out of a parser as they went in", async () => {
    const value = fc.oneof(fc.double(), fc.maxSafeInteger(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
    const label = fc.string({ unit: "binary" });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(label, label, value)),
        fc.integer({ min: 1, max: 500 }),
        async (rows, size) => {
          const family = gauge(
            "albatross_x",
            rows.map(([vm, device, v]) => [labelPairs({ vm, device }), v]),
          );
          const [parsed] = parseExposition(
            await render([family, gauge("z", [["", 0]])], format, { chunkBytes: size }),
            format,
          );
          const series = rows.length === 0 ? [] : parsed?.series;
          expect(series?.map(({ labels }) => labels)).toEqual(
            rows.map(([vm, device]) => ({ vm: wellFormed(vm), device: wellFormed(device) })),
          );
          const values = series?.map((one, i) => readAs(rows[i]?.[2] ?? 0, one.value));
          expect(values).toEqual(rows.map(([, , v]) => (v === 0 ? 0 : v)));
        },
      ),
    );
  });
});

function wellFormed(text: string): string {
  return Buffer.from(text, "utf8").toString();
}

/** A written value as the type that was given: a bigint to its last digit, a number as a parser of doubles reads it. */
function readAs(given: Value, text: string): Value {
  return typeof given === "bigint" ? BigInt(text) : Number(text.replace("Inf", "Infinity"));
}

test("labels that follow an item's own are written after them, ASCII or not", async () => {
  const family: Family = {
    ...gauge("albatross_x", [["", 0]]),
    emit: (_, out) => {
      out.series('vm="web"', 1, ',device="größe"');
      out.series('vm="web"', "0.5", ',kind="minor"');
      out.series('vm="db"', 2);
    },
  };
  expect((await render([family], "text")).split("\n").slice(2)).toEqual([
    'albatross_x{vm="web",device="größe"} 1',
    'albatross_x{vm="web",kind="minor"} 0.5',
    'albatross_x{vm="db"} 2',
    "",
  ]);
});

describe("a counter", () => {
  test("whose name does not end in _total is refused by name", async () => {
    const family: Family = {
      name: "albatross_frames",
      type: "counter",
      help: "",
      items: [1],
      emit: () => {},
    };
    await expect(render([family], "openmetrics")).rejects.toThrow("counter albatross_frames");
  });
});

describe("rendering", () => {
  const many = Array.from({ length: 5_000 }, (_, i) => [`vm="web-clone-${i}"`, i] as const);

  test("keeps buffers below their size and the tally in step with them", async () => {
    const tally = { series: 0, bytes: 0 };
    const chunks = await chunksOf([gauge("albatross_a", many), gauge("albatross_b", many)], "text", {
      chunkBytes: 10_000,
      tally,
    });
    expect(chunks.length).toBeGreaterThan(20);
    expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(10_000);
    expect(tally).toEqual({ series: 10_000, bytes: Buffer.concat(chunks).length });
  });

  test("renders nothing ahead of what is pulled", async () => {
    let emitted = 0;
    const family: Family = {
      ...gauge("albatross_a", many),
      emit: (_, out) => out.series(`n="${emitted++}"`, 1),
    };
    const rendering = renderExposition([family], "text", { chunkBytes: 1_000 });
    expect(emitted).toBe(0);
    await rendering.next();
    const afterFirst = emitted;
    expect(afterFirst).toBeLessThan(100);
    await new Promise((resolve) => setImmediate(resolve));
    expect(emitted).toBe(afterFirst);
    await rendering.return();
    expect(emitted).toBe(afterFirst);
  });

  test("stops within one buffer when its signal is aborted", async () => {
    const stop = new AbortController();
    const tally = { series: 0, bytes: 0 };
    let buffers = 0;
    for await (const _ of renderExposition([gauge("albatross_a", many)], "text", {
      chunkBytes: 1_000,
      signal: stop.signal,
      tally,
    })) {
      buffers++;
      stop.abort();
    }
    expect(buffers).toBe(1);
    expect(tally.series).toBeLessThan(100);
  });

  test("gives way by time where items take long and write little", async () => {
    const clock = new FakeClock();
    const yieldTurn = vi.fn(yieldToEventLoop);
    const slow: Family = { ...gauge("albatross_a", many), emit: () => clock.advance(0.1) };
    await render([slow], "text", { clock, yieldTurn });
    // 5,000 items of 0.1 ms: the clock is looked at each 128 items, and 12.8 ms are more than a slice.
    expect(yieldTurn).toHaveBeenCalledTimes(1 + Math.floor(5_000 / 128));
  });

  test("fails with what a family's emit throws", async () => {
    const family: Family = {
      ...gauge("albatross_a", many),
      emit: () => {
        throw new Error("no such field");
      },
    };
    await expect(render([family], "text")).rejects.toThrow("no such field");
  });
});

test("labels read the same whether they come as text or as bytes", async () => {
  const labels = fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.string({ unit: "binary" }), {
    maxKeys: 3,
  });
  const series = fc.record({ labels, more: fc.constantFrom("", ',kind="minor"', ',kind="größer"') });
  await fc.assert(
    fc.asyncProperty(fc.array(series, { maxLength: 20 }), async (items) => {
      const familyOf = (encode: (text: string) => Labels): Family => ({
        name: "albatross_vm_values",
        type: "gauge",
        help: "A gauge.",
        items,
        emit(item, out) {
          const { labels: pairs, more } = item as (typeof items)[number];
          const text = labelPairs(pairs);
          out.series(encode(text), 1, text === "" ? "" : more);
          out.series(encode(text), "0.5", text === "" ? "" : more);
          out.suffixed("_sum", encode(text), 2n ** 60n);
        },
      });
      const asText = await render([familyOf((text) => text)], "openmetrics", { chunkBytes: 64 });
      const asBytes = await render([familyOf((text) => Buffer.from(text))], "openmetrics", {
        chunkBytes: 64,
      });
      expect(asBytes).toBe(asText);
    }),
  );
});
