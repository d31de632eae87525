import {
  add,
  defineUpdateRule,
  dot,
  largest,
  mul,
  norm,
  perColumn,
  perRow,
  sum,
  total,
} from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";
import { programKernels } from "@mm/optim-webgpu/host";
import { describe, expect, test } from "vitest";
import { muon } from "../support/shaped-rules.ts";
import { programOf } from "../../../../test-support/programs.ts";
import {
  accumulateKernel,
  checkKernel,
  type NormKind,
  normKinds,
  seedKernel,
} from "../../src/kernel/index.ts";
import { wgsl } from "../../src/kernel/wgsl.ts";

describe("the tag", () => {
  test("takes off the indentation of the template, and keeps what goes beyond it", () => {
    expect(wgsl`
      if (a) {
        b();
      }
    `).toBe("if (a) {\n  b();\n}");
  });

  test("indents every line of a value as the line that it stands in", () => {
    const body = "let x = 1f;\n\nif (x > 0f) {\n  y = x;\n}";
    expect(wgsl`
      fn main() {
        ${body}
        z = ${2}u;
      }
    `).toBe("fn main() {\n  let x = 1f;\n\n  if (x > 0f) {\n    y = x;\n  }\n  z = 2u;\n}");
  });

  test("leaves out a line that holds an empty value alone, and only such a line", () => {
    expect(wgsl`
      a();
      ${""}
      b(${""});
    `).toBe("a();\nb();");
    expect(wgsl`
      a();

      ${""}

      b();
    `).toBe("a();\n\nb();");
  });

  test("begins with a value, and is one line where the template is", () => {
    expect(wgsl`${"a;\nb;"} c;`).toBe("a;\nb; c;");
  });
});

/** The lines that are not indented by two spaces for every bracket that is open before them. */
function wronglyIndented(code: string): string[] {
  let depth = 0;
  return code.split("\n").filter((line) => {
    const text = line.replace(/\/\/.*/, "").trim();
    const opened = depth - Number(/^[)}]/.test(text));
    depth += text.replaceAll(/[^({]/g, "").length - text.replaceAll(/[^)}]/g, "").length;
    return line !== "" && line.search(/[^ ]|$/) !== 2 * opened;
  });
}

/** One of every reduction of a whole tensor. */
const reducing = defineUpdateRule({
  name: "reducing",
  hyperparameters: { lr: 1 },
  update: ({ param, grad }) => ({
    param: mul(param, add(add(sum(grad), dot(param, grad)), add(largest(grad), norm(mul(grad, norm(grad)))))),
  }),
});

/** One of everything that is per row or column, and a sum over tensors. */
const shaped = defineUpdateRule({
  name: "shaped",
  shapes: "matrix",
  hyperparameters: { lr: 1 },
  slots: () => ({ byRow: perRow(), byColumn: perColumn() }),
  update: ({ param, grad, byRow, byColumn }) => ({
    param: mul(param, mul(norm(mul(grad, byRow)), add(byColumn, sum(sum(grad, "column"))))),
    byRow: add(byRow, mul(total(sum(grad)), add(sum(grad, "row"), largest(grad, "row")))),
    byColumn: add(byColumn, add(dot(param, grad, "column"), largest(grad, "column"))),
  }),
});

const texts = [
  ...(["vec4", "scalar", "packed"] as const).flatMap((access) =>
    [reducing(), muon(), shaped()].flatMap((rule) => programKernels(programOf(rule), access)),
  ),
  ...[rules.adamw(), rules.lamb(), rules.nadam({ momentumDecay: 0.004 }), rules.sgd()].flatMap((rule) =>
    (["vec4", "scalar", "packed"] as const).flatMap((access) => programKernels(programOf(rule), access)),
  ),
  ...(Object.keys(normKinds) as NormKind[]).flatMap((norm) => [
    checkKernel(norm, false),
    checkKernel(norm, true),
  ]),
  accumulateKernel("f32"),
  accumulateKernel("packed"),
  seedKernel(),
].map(({ label, code }) => [label, code] as const);

test.each([...new Map(texts)])("%s is indented by its brackets", (_, code) => {
  expect(wronglyIndented(code)).toEqual([]);
  expect(code).not.toMatch(/ \n|\n\n\n|\t|\n$/);
});

test("a text that is flush left is found", () => {
  expect(wronglyIndented("fn f() {\nlet x = 1;\n}")).toEqual(["let x = 1;"]);
  expect(wronglyIndented("fn f() {\n  let x = 1;\n  }")).toEqual(["  }"]);
});

test.each([
  ["AdamW", rules.adamw()],
  ["LAMB", rules.lamb()],
] as const)("the kernels of %s", async (name, rule) => {
  const [, ...ofRule] = programKernels(programOf(rule));
  const text = ofRule.map(({ label, code }) => `// ${label}\n\n${code}\n`).join("\n\n");
  await expect(text).toMatchFileSnapshot(`texts/${name.toLowerCase()}.wgsl`);
});
