import { expect, test } from "vitest";
import { migrated, type Migrations, optimizerMigrations, wrapperMigrations } from "../src/migrate.ts";

// As if the third version were current: the first said `count`, the second `steps`, the third has a list.
const migrations: Migrations = [
  ({ count, ...rest }: { count?: number }) => ({ ...rest, version: 2, steps: count }),
  ({ steps, ...rest }: { steps?: number }) => ({ ...rest, version: 3, history: [steps] }),
];

test("a state of an older version is brought to the current one, a version at a time, and is not changed", () => {
  const first = Object.freeze({ format: "f", version: 1, count: 7 });
  expect(migrated<object>(first, migrations)).toEqual({ format: "f", version: 3, history: [7] });
  expect(migrated<object>({ version: 2, steps: 7 }, migrations)).toEqual({ version: 3, history: [7] });
  expect(first).toEqual({ format: "f", version: 1, count: 7 });
});

test.each([
  { version: 3 },
  { version: 4 },
  { version: 0 },
  { version: 1.5 },
  { version: "1" },
  {},
  null,
  undefined,
  "state",
])("%j is left as it is: current, later, or no state", (state) => {
  expect(migrated<unknown>(state, migrations)).toBe(state);
});

test("wrappers have one version, optimizers two", () => {
  expect([wrapperMigrations.length, optimizerMigrations.length]).toEqual([0, 1]);
});
