import { refuse } from "@mm/optim-core/backend";
import {
  aFunction,
  anything,
  aPositive,
  checkSchema,
  type Fields,
  integerFrom,
  oneOf,
  isCount,
  type Test,
} from "@mm/optim-core/schema";
import type { RunOptions } from "./run-options.ts";

const has = (methods: readonly string[], expected: string): Test => [
  (value: unknown) =>
    methods.every(
      (name) => typeof (Object(value) as { readonly [name: string]: unknown })[name] === "function",
    ),
  expected,
];

const iterations: Test = [
  (value: unknown) => isCount(value) || value === Infinity,
  "a number of iterations, or Infinity",
];

const fields = (): Fields["fields"] => ({
  optim: anything,
  "schedulers?": has(["stepEpoch", "prepareLoad"], "a scheduler, or the schedulers of a dict"),
  "until?": iterations,
  "signal?": has(["addEventListener"], "an AbortSignal"),
  "state?": { each: has(["stateDict", "loadStateDict"], "something with stateDict and loadStateDict") },
  "info?": anything,
  "log?": {
    fields: { "every?": integerFrom(1), "ms?": aPositive, "per?": oneOf("parameter"), "to?": anything },
  },
  "store?": has(["take", "find"], "a store, such as checkpointStore(checkpoints)"),
  "saveEvery?": integerFrom(1),
  "onSaveError?": aFunction,
  "maxSkipped?": integerFrom(1),
  "ranks?": has(["allReduce", "duplicate"], "a communicator"),
  "agreeEvery?": integerFrom(1),
  "yieldEvery?": [(value: unknown) => typeof value === "number" && value >= 0, "milliseconds"],
});

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkOptions(options: RunOptions): void {
  checkSchema("invalid-option", "createRun", options, { fields: fields() });
  const { log: { every, ms, to = [] } = {}, saveEvery, store, agreeEvery, ranks } = options;
  for (const sink of [to].flat()) checkSchema("invalid-option", "createRun: log.to", sink, aFunction);
  // Each of these would do nothing.
  if (every !== undefined && ms !== undefined)
    refuse("invalid-option", "createRun: log.ms", "nothing beside every", ms);
  if (saveEvery !== undefined && !store)
    refuse("invalid-option", "createRun: saveEvery", "a store beside it", saveEvery);
  if (agreeEvery !== undefined && !ranks)
    refuse("invalid-option", "createRun: agreeEvery", "ranks beside it", agreeEvery);
}
