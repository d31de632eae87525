import * as all from "@mm/optim-schedule";
import { expect, test } from "vitest";
import { bundle } from "../../../test-support/bundling.ts";

const kinds = Object.keys(all).filter((name) => !/^(check|create|define|valueAt)/.test(name));

/** The kinds that a bundle holds, by the names that their schedules have. `byEpoch` has none: it makes a schedule of another. */
const kindsIn = (code: string): readonly string[] =>
  kinds.filter((name) => new RegExp(`type: ?["'\`]${name}["'\`]`).test(code));

test.each(kinds)("a bundle with %s alone contains no other kind", async (kind) => {
  const code = await bundle(`import { ${kind} } from "@mm/optim-schedule"; console.log(${kind});`);
  expect(kindsIn(code)).toEqual(kind === "byEpoch" ? [] : [kind]);
});

test("schedulers bring no kind, and importing the package for nothing brings nothing", async () => {
  const names = "createScheduler, createSchedulerDict, valueAt";
  const code = await bundle(`import { ${names} } from "@mm/optim-schedule"; console.log(${names});`);
  expect(kindsIn(code)).toEqual([]);
  expect((await bundle('import "@mm/optim-schedule";')).trim()).toBe("");
});
