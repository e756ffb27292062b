import { describe, expect, test } from "vitest";
import { acceptsGzip, negotiateFormat } from "../../src/web/metrics.ts";

const PROMETHEUS_2_42 =
  "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_3 =
  "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
const PROMETHEUS_3_PROTOBUF = `application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,${PROMETHEUS_3}`;
const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

describe("OpenMetrics is given", () => {
  test.each([
    { who: "Prometheus 2.42", accept: PROMETHEUS_2_42 },
    { who: "Prometheus 3", accept: PROMETHEUS_3 },
    { who: "Prometheus 3 that would rather have protobuf", accept: PROMETHEUS_3_PROTOBUF },
    { who: "a client that names no version", accept: "application/openmetrics-text" },
    { who: "a client that wants both alike", accept: "text/plain;q=0.5,application/openmetrics-text;q=0.5" },
    {
      who: "a client that writes it otherwise",
      accept: 'Application/OpenMetrics-Text ; Version="1.0.0" ; Q=1',
    },
    { who: "a client that refuses text", accept: "application/openmetrics-text;q=0.1,text/plain;q=0" },
  ])("to $who", ({ accept }) => {
    expect(negotiateFormat(accept)).toBe("openmetrics");
  });
});

describe("text is given", () => {
  test.each([
    { who: "a client without an Accept header", accept: undefined },
    { who: "a client that takes anything", accept: "*/*" },
    { who: "a browser", accept: BROWSER },
    { who: "a client that asks for text", accept: "text/plain;version=0.0.4" },
    { who: "a client that asks for text 1.0.0", accept: "text/plain;version=1.0.0;escaping=allow-utf-8" },
    { who: "a client that likes text better", accept: "application/openmetrics-text;q=0.4,text/plain;q=0.5" },
    { who: "a client that likes anything better", accept: "application/openmetrics-text;q=0.4,*/*;q=0.5" },
    { who: "a client that refuses OpenMetrics", accept: "application/openmetrics-text;q=0,*/*" },
    {
      who: "a client that knows only OpenMetrics 0.0.1",
      accept: "application/openmetrics-text;version=0.0.1",
    },
    { who: "a client that accepts neither", accept: "application/json" },
    { who: "a client that sends nonsense", accept: ";;,=,q=;q=x,application/openmetrics-text;q=2" },
  ])("to $who", ({ accept }) => {
    expect(negotiateFormat(accept)).toBe("text");
  });
});

describe("gzip", () => {
  test.each([
    { accept: "gzip", gzip: true },
    { accept: "deflate, gzip;q=1.0, *;q=0.5", gzip: true },
    { accept: "gzip;q=0.001", gzip: true },
    { accept: "x-gzip", gzip: true },
    { accept: "*", gzip: true },
    { accept: "identity;q=0.5, gzip;q=0.5", gzip: true },
    { accept: "gzip;q=0", gzip: false },
    { accept: "gzip;q=0, *", gzip: false },
    { accept: "identity, gzip;q=0.5", gzip: false },
    { accept: "br, deflate", gzip: false },
    { accept: "", gzip: false },
    { accept: undefined, gzip: false },
  ])("for $accept: $gzip", ({ accept, gzip }) => {
    expect(acceptsGzip(accept)).toBe(gzip);
  });
});
