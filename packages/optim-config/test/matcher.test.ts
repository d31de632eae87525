import { describe, expect, test } from "vitest";
import { compileMatcher, type Matcher } from "../src/matcher.ts";
import type { ParameterKind } from "../src/model/model-kind.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

const names = ["scale", "conv1.kernel", "conv1.bias", "conv10.kernel", "head/fc/weight", "head.bn.gamma"];
const kindsOf = (name: string): readonly ParameterKind[] =>
  name.endsWith("bias") ? ["bias"] : name.endsWith("gamma") ? ["norm", "flat"] : [];

function matched(matcher: Matcher): readonly string[] {
  const { matches } = compileMatcher(matcher, "match");
  return names.filter((name) => matches({ name, kinds: kindsOf(name) }));
}

describe("a matcher", () => {
  test.each<[Matcher, readonly string[]]>([
    // A string is a glob, and one without wildcards an exact name.
    ["scale", ["scale"]],
    ["conv1", []],
    ["conv1.*", ["conv1.kernel", "conv1.bias"]],
    ["*.kernel", ["conv1.kernel", "conv10.kernel"]],
    ["*.weight", []],
    ["**weight", ["head/fc/weight"]],
    ["head/*/weight", ["head/fc/weight"]],
    ["conv?.kernel", ["conv1.kernel"]],
    ["**", names],
    // A dot is a dot.
    [{ glob: "conv1?kernel" }, []],
    [{ exact: "conv1.bias" }, ["conv1.bias"]],
    [{ exact: "conv1.*" }, []],
    // Whole parts: conv10 does not begin with the part conv1.
    [{ prefix: "conv1" }, ["conv1.kernel", "conv1.bias"]],
    [{ prefix: "head/fc" }, ["head/fc/weight"]],
    [{ prefix: "scale" }, ["scale"]],
    [{ regex: "^conv\\d+\\.k" }, ["conv1.kernel", "conv10.kernel"]],
    [{ regex: "a" }, ["scale", "conv1.bias", "head/fc/weight", "head.bn.gamma"]],
    [{ contains: "1." }, ["conv1.kernel", "conv1.bias"]],
    [{ kind: "norm" }, ["head.bn.gamma"]],
    // All fields of an object, any element of a list.
    [{ prefix: "conv1", kind: "bias" }, ["conv1.bias"]],
    [
      ["scale", { kind: "norm" }, "nothing"],
      ["scale", "head.bn.gamma"],
    ],
  ])("%j", (matcher, expected) => expect(matched(matcher)).toEqual(expected));

  test.each<[Matcher, string]>([
    ["conv1.*", "conv1.*"],
    [{ prefix: "conv1", kind: "bias" }, "prefix conv1 and bias"],
    [["scale", { kind: "norm" }], "scale or norm"],
  ])("%j is called %s", (matcher, text) => expect(compileMatcher(matcher, "match").text).toBe(text));

  test("a regular expression that is none is refused with its place", () => {
    const { code, message } = thrownBy(() => compileMatcher(["**", { regex: "(" }], "config.unused"));
    expect(code).toBe("invalid-option");
    expect(message).toBe('config.unused[1].regex: expected a JavaScript regular expression, got "("');
  });
});
