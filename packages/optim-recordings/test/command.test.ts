import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "golden-"));
afterAll(() => rmSync(folder, { recursive: true }));

const recorded = readFileSync(join(root, "packages/optim-recordings/golden/clip.json"), "utf8");

/** The program that `pnpm golden` runs, once it has seen to the installation. */
function golden(...given: readonly string[]): {
  readonly status: number | null;
  readonly lines: readonly string[];
} {
  const { status, stdout, stderr } = spawnSync("node", [join(root, "scripts/golden.mjs"), ...given], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, INIT_CWD: folder },
  });
  return { status, lines: `${stdout}${stderr}`.trimEnd().split("\n") };
}

test("prints a line per case and a closing line per backend", () => {
  writeFileSync(join(folder, "clip.json"), recorded);
  const { status, lines } = golden("clip.json", "--backend", "reference,wasm");
  const cases = (JSON.parse(recorded) as { cases: unknown[] }).cases.length;
  expect(lines.filter((line) => /^(reference|wasm) {2}ok /.test(line)).length).toBe(2 * cases);
  expect(lines.slice(-2).map((line) => line.split(",")[0])).toEqual([
    `reference: ${cases} passed`,
    `wasm: ${cases} passed`,
  ]);
  expect(status).toBe(0);
});

test("ends with 1 when a case failed, and says which field", () => {
  writeFileSync(join(folder, "wrong.json"), recorded.replace('"totalNorm":5,', '"totalNorm":5.001,'));
  const { status, lines } = golden("wrong.json", "--backend", "reference", "--quiet");
  expect(lines[0]).toMatch(/^reference {2}FAIL {2}clip\/exact_one /);
  expect(lines[1]).toMatch(/totalNorm: \[0\] expected 5\.00\d+, got 5, off by/);
  expect(status).toBe(1);
});

test("ends with 2 when it was asked for what there is not", () => {
  expect(golden("clip.json", "--backend", "cuda").lines[0]).toMatch(
    /^no backend cuda; there are reference, /,
  );
  expect(golden("nowhere.json", "--backend", "reference")).toMatchObject({ status: 2 });
  expect(golden()).toMatchObject({ status: 2 });
});
