import { readdirSync, readFileSync } from "node:fs";
import * as all from "@mm/optim-schedule";
import { expect, test } from "vitest";
import { drawSchedules } from "../../../scripts/schedule-plots.ts";

const docs = new URL("../../../docs/", import.meta.url);
const read = (path: string, base: URL | string): string => readFileSync(new URL(path, base), "utf8");
const page = read("schedules.md", docs);
const readme = read("../README.md", import.meta.url);
// Once: a second drawing numbers its styles on.
const drawn = drawSchedules();
const kinds = Object.keys(all).filter((name) => !/^(check|create|define|valueAt)/.test(name));

test.each(kinds)("%s has a section with a picture, and a row in the README", (kind) => {
  const section = page.split(/^### /m).find((text) => text.startsWith(`\`${kind}\``)) ?? "";
  expect(section).toContain(`](images/schedules/${kind}.svg)`);
  expect(readme).toContain(`| \`${kind}(`);
});

test("the pictures are those that `pnpm plots` draws, and all of them are shown", () => {
  expect(readdirSync(new URL("images/schedules/", docs)).sort()).toEqual([...drawn.keys()].sort());
  for (const [name, svg] of drawn) {
    expect(read(`images/schedules/${name}`, docs) === svg, `${name} is as drawn: pnpm plots`).toBe(true);
    expect(page).toContain(`](images/schedules/${name})`);
  }
});

test("a line of the legend is the code that was drawn", () => {
  expect(drawn.get("cosine.svg")).toContain("cosine({ length: 80 })");
});
