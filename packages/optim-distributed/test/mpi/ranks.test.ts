// Everything that ranks do together, in one launch per MPI and number of ranks.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseNames, type Results } from "../cases/index.ts";
import { expectEquality, expectExchanges, expectTogether } from "../expectations.ts";
import { bundleProgram } from "../program.ts";
import { launch, mpich, openMpi } from "./launch.ts";

const place = mkdtempSync(join(tmpdir(), "optim-distributed-ranks-"));
let program = "";
beforeAll(async () => {
  program = await bundleProgram("ranks");
});
afterAll(() => rmSync(place, { recursive: true }));

const launches = [1, 2, 3, 4].flatMap((size) => [
  { name: "Open MPI", mpi: openMpi, size },
  { name: "MPICH", mpi: mpich, size },
]);

describe.each(launches)("$name, $size ranks", ({ name, mpi, size }) => {
  let results: readonly Results[] = [];
  beforeAll(async () => {
    const folder = join(place, `${name}-${size}`);
    mkdirSync(folder);
    const { code, output } = await launch(mpi, size, program, [folder, ...caseNames]);
    if (code !== 0) throw new Error(`the job ended with ${code}\n${output}`);
    results = Array.from(
      { length: size },
      (_, rank) => JSON.parse(readFileSync(join(folder, `${rank}.json`), "utf8")) as Results,
    );
  }, 300_000);

  test("is that library", () => {
    for (const { version } of results) expect(version).toContain(name);
  });
  expectExchanges(() => results, size);
  expectEquality(() => results, "arrays");
  expectEquality(() => results, "arena");
  expectTogether(() => results, size);
});
