import { describe, expect, test } from "vitest";
import { cloneDefaults } from "../../src/config/clone.ts";
import {
  type CreateQuestion,
  identityOf,
  pinnedVms,
  planCreate,
  planDestroy,
} from "../../src/scaler/actions/plan.ts";
import { infoOfKnown, type UnikernelInfo } from "../../src/wire/messages.ts";
import { formatName, parseName } from "../../src/wire/names.ts";

const DIGEST = Buffer.alloc(32, 0xab);
const OTHER_DIGEST = Buffer.alloc(32, 0xcd);

const WEB = infoOfKnown({
  startup: 20,
  failBehaviour: { type: "restart", exitCodes: [3, 5] },
  cpuids: [4],
  memory: 48,
  digest: DIGEST,
  bridges: [
    { unikernelDevice: "service", hostDevice: "service", mac: "00:80:41:00:dd:66" },
    { unikernelDevice: "back", hostDevice: "br7", mac: "00:80:41:12:34:56" },
  ],
  argv: ["--ipv4=10.0.0.1/24"],
  startedMs: 1_000,
});
const BLOCK = { unikernelDevice: "data", hostDevice: "data", sectorSize: 512, size: 10 };
const POLICY = { cpuids: [3, 1, 2], unikernels: 5, memory: 500, block: null, bridges: ["service"] };

function plan({ settings, ...other }: Partial<CreateQuestion> = {}) {
  return planCreate({
    path: "user",
    group: "web",
    cloneId: 2,
    settings: { ...cloneDefaults, arguments: [], ...settings },
    subscribe: [":"],
    primary: WEB,
    clone: null,
    policy: null,
    pinned: new Map(),
    digestBefore: null,
    ...other,
  });
}

function planned(question: Partial<CreateQuestion> = {}) {
  const result = plan(question);
  if ("outcome" in result) expect.fail(result.text);
  return result;
}

describe("a clone", () => {
  test("is all that the primary is, without its MACs, and gets its own name", () => {
    const { name, unikernel, digest } = planned();
    expect(formatName(name)).toBe("user:web-clone-2");
    expect(digest).toBe("ab".repeat(32));
    expect(unikernel).toEqual({
      typ: "solo5",
      startup: 20,
      addName: true,
      failBehaviour: { type: "restart", exitCodes: [3, 5] },
      cpuids: [4],
      memory: 48,
      blockDevices: [],
      bridges: [
        { name: "service", bridge: "service", mac: null },
        { name: "back", bridge: "br7", mac: null },
      ],
      argv: ["--ipv4=10.0.0.1/24"],
      numcpus: 1,
      linuxBootPartition: null,
    });
  });

  test("stands at the root where its primary does", () => {
    expect(formatName(planned({ path: "", group: "hello" }).name)).toBe(":hello-clone-2");
    expect(formatName(planned({ path: "user:sub" }).name)).toBe("user:sub:web-clone-2");
  });

  test("has the memory of its policy where that says so", () => {
    const settings = { ...cloneDefaults, arguments: [], memoryBytes: 96 * 2 ** 20 };
    expect(planned({ settings }).unikernel.memory).toBe(96);
  });
});

describe("arguments of a clone with id 7:", () => {
  test.each<[string, string[] | null, string[], string[] | null]>([
    ["none and none", null, [], null],
    ["the primary's, where [] is given", ["--a=1", "--b", "2"], [], ["--a=1", "--b", "2"]],
    ["added where the primary has none", null, ["--a=1"], ["--a=1"]],
    ["added at the end", ["--a=1"], ["--b=2"], ["--a=1", "--b=2"]],
    ["in place of --flag=value", ["--a=1", "--b=2", "--c=3"], ["--b=9"], ["--a=1", "--b=9", "--c=3"]],
    ["in place of --flag value", ["--a", "1", "--b", "2", "--c"], ["--b=9"], ["--a", "1", "--b=9", "--c"]],
    ["--flag value in place of --flag=value", ["--a=1", "--b=2"], ["--a", "9"], ["--a", "9", "--b=2"]],
    ["in place of a flag alone", ["--a", "--b"], ["--a"], ["--a", "--b"]],
    ["in place of each of the same flag", ["--d=1", "--x", "--d=2"], ["--d=9"], ["--d=9", "--x"]],
    ["several of one flag", ["--d=1", "--x"], ["--d=8", "--d=9"], ["--d=8", "--d=9", "--x"]],
    ["not in place of a longer flag", ["--ab=1"], ["--a=2"], ["--ab=1", "--a=2"]],
    ["not in place of a value", ["--a", "b"], ["b"], ["--a", "b", "b"]],
    ["of one letter", ["-l", "debug", "-v"], ["-l", "info"], ["-l", "info", "-v"]],
    ["a lone - is a value", ["--a", "-", "--b"], ["--a=1"], ["--a=1", "--b"]],
    ["a value may hold =", ["--a=x=y"], ["--a=p=q"], ["--a=p=q"]],
    ["before what follows --", ["--a=1", "--", "--b=2"], ["--b=3"], ["--a=1", "--b=3", "--", "--b=2"]],
    ["{id} is filled in", ["--ip=x"], ["--ip=10.0.0.{id}/24"], ["--ip=10.0.0.7/24"]],
    ["{id+N} too", null, ["--p={id+8000}", "--q={id},{id+0}"], ["--p=8007", "--q=7,7"]],
    ["in what is given only", ["--a={id}"], ["--b={id}"], ["--a={id}", "--b=7"]],
    ["a --name=value is not inherited", ["--name=web", "--a=1"], [], ["--a=1"]],
    ["nor a --name value", ["--name", "web", "--a=1"], [], ["--a=1"]],
    ["nor several", ["--name", "web", "--name=w"], ["--a"], ["--a"]],
    ["but --nameserver is", ["--nameserver=10.0.0.1"], [], ["--nameserver=10.0.0.1"]],
  ])("%s", (_, argv, given, expected) => {
    const settings = { ...cloneDefaults, arguments: given };
    const { unikernel } = planned({ cloneId: 7, primary: { ...WEB, argv }, settings });
    expect(unikernel.argv).toEqual(expected);
  });
});

describe("the cpuids of a clone", () => {
  const pinned = pinnedVms([
    { cpuids: "1" },
    { cpuids: "1,2" },
    { cpuids: "3" },
    { cpuids: "3" },
    { cpuids: "" },
  ]);

  test.each<[string, Partial<CreateQuestion>, readonly number[]]>([
    ["are the primary's without a policy", {}, [4]],
    ["are the primary's where the policy has none", { policy: { ...POLICY, cpuids: [] } }, [4]],
    ["are the one of the policy to which the fewest VMs are pinned", { policy: POLICY }, [2]],
    ["are the lowest of several", { policy: { ...POLICY, cpuids: [3, 1] } }, [1]],
    ["are one to which no VM is pinned", { policy: { ...POLICY, cpuids: [1, 2, 3, 9, 8] } }, [8]],
    ["are as many as it has CPUs", { policy: POLICY, primary: { ...WEB, numcpus: 2 } }, [2, 1]],
    ["are at most those of the policy", { policy: POLICY, primary: { ...WEB, numcpus: 9 } }, [2, 1, 3]],
    [
      "are those of clone.cpuids before all else",
      { policy: POLICY, settings: { ...cloneDefaults, arguments: [], cpuids: [0, 7] } },
      [0, 7],
    ],
  ])("%s", (_, question, expected) => {
    expect(planned({ pinned, ...question }).unikernel.cpuids).toEqual(expected);
  });
});

describe("no clone is created", () => {
  const cloneable = { ...cloneDefaults, arguments: [] };

  test.each<[string, Partial<CreateQuestion>, string, RegExp]>([
    [
      "without clone.arguments",
      { settings: cloneDefaults },
      "not_cloneable",
      /does not say clone\.arguments$/,
    ],
    [
      "of one with block devices",
      { primary: { ...WEB, blockDevices: [BLOCK] } },
      "not_cloneable",
      /block devices/,
    ],
    ["of a bhyve VM", { primary: { ...WEB, typ: "bhyve" } }, "not_cloneable", /bhyve/],
    ["by a subscribed path", { subscribe: ["user:web-clone-2:"] }, "reserved", /^user:web-clone-2 is/],
    ["by one at the root", { path: "", subscribe: ["x:", "web-clone-2:"] }, "reserved", /^:web-clone-2 is/],
    ["where one runs", { clone: WEB }, "exists", /^user:web-clone-2 runs already$/],
    ["without a primary", { primary: null }, "no_primary", /^user:web does not run$/],
    ["of another image than before", { digestBefore: "cd".repeat(32) }, "changed", /another image/],
    [
      "what speaks longest against it is said",
      { settings: cloneDefaults, clone: WEB },
      "not_cloneable",
      /say/,
    ],
  ])("%s", (_, question, reason, text) => {
    expect(plan({ settings: cloneable, ...question })).toEqual({
      outcome: "refused",
      reason,
      text: expect.stringMatching(text),
    });
  });

  test.each<[string, Partial<CreateQuestion>]>([
    ["its path is subscribed", { subscribe: ["user:"] }],
    ["its own name is", { subscribe: ["user:web", "user:web-clone-2"] }],
    ["a path of that label elsewhere is", { subscribe: ["web-clone-2:"] }],
    ["the primary runs the image of before", { digestBefore: "ab".repeat(32) }],
  ])("but one is when %s", (_, question) => {
    expect(plan({ settings: cloneable, ...question })).not.toHaveProperty("outcome");
  });

  test("an argument is in no refusal", () => {
    const primary = { ...WEB, argv: ["--password=hunter2"] };
    for (const question of [{ settings: cloneDefaults }, { clone: primary }, { digestBefore: "" }])
      expect(JSON.stringify(plan({ primary, ...question }))).not.toContain("hunter2");
  });
});

describe("a clone that is to go", () => {
  const victim = (change: Partial<UnikernelInfo> = {}) => ({ ...WEB, ...change });
  const destroy = (found: UnikernelInfo | null, before?: UnikernelInfo) =>
    planDestroy(parseName("user:web-clone-2"), found, before && identityOf(before));

  test("is known by its start and image", () => {
    const result = destroy(victim());
    if ("outcome" in result) expect.fail(result.text);
    expect(result.bridges[1]).toEqual({ device: "back", bridge: "br7", mac: "00:80:41:12:34:56" });
    expect(result.identity).toEqual({ startedMs: 1_000, digest: "ab".repeat(32) });
    expect(destroy(victim(), victim({ memory: 1, argv: null }))).toEqual(result);
  });

  test("is gone where info does not list it, who it was before or not", () => {
    const gone = { outcome: "verified", reason: "already_gone" };
    expect(destroy(null)).toMatchObject(gone);
    expect(destroy(null, victim())).toMatchObject(gone);
  });

  test.each<[string, Partial<UnikernelInfo>]>([
    ["started again", { startedMs: 2_000 }],
    ["whose start is not told any more", { startedMs: null }],
    ["with another image", { digest: OTHER_DIGEST }],
  ])("is left alone where it is one %s", (_, change) => {
    expect(destroy(victim(change), victim())).toMatchObject({ outcome: "refused", reason: "changed" });
  });
});
