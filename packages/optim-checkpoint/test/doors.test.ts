import { expect, test } from "vitest";
import { chunksOf } from "../../../test-support/bundling.ts";

/** The imports that a bundle for the browser would have from outside. */
async function importsOf(code: string): Promise<readonly string[]> {
  return (await chunksOf(code, { external: /^node:/ })).flatMap(({ imports }) => imports);
}

test("what a browser imports knows nothing of Node; what Node imports does", async () => {
  for (const door of ["", "/browser"])
    expect(await importsOf(`export * from "@mm/optim-checkpoint${door}";`)).toEqual([]);
  expect(await importsOf('export * from "@mm/optim-checkpoint/node";')).toContain("node:fs/promises");
});
