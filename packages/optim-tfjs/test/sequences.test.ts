import { expect, test } from "vitest";
import { searchSequence } from "../../optim-conformance/test/model/sequences.ts";
import { searchTogether } from "../../optim-conformance/test/model/together.ts";
import { paths } from "./backends.ts";
import { tfjsFactory } from "./factory.ts";

test.each(paths)("$name: any sequence of calls leaves a wrapper as plain arithmetic has it", async (path) => {
  expect(await searchSequence(await tfjsFactory(path), 200)).toBeUndefined();
});

test.each(paths)("$name: slots per row and a number of all tensors, too", async (path) => {
  expect(await searchTogether(await tfjsFactory(path), 40)).toBeUndefined();
});
