import { expect, test } from "vitest";
import { searchSequence } from "../../optim-conformance/test/model/sequences.ts";
import { paths } from "./backends.ts";
import { tfjsFactory } from "./factory.ts";

test.each(paths)("$name: any sequence of calls leaves a wrapper as plain arithmetic has it", async (path) => {
  expect(await searchSequence(await tfjsFactory(path), 200)).toBeUndefined();
});
