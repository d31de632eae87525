// How a job is joined, and what is said where it cannot be.
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleProgram } from "../program.ts";
import { launch, mpich, openMpi } from "./launch.ts";

const place = mkdtempSync(join(tmpdir(), "optim-distributed-open-"));
let program = "";
beforeAll(async () => {
  program = await bundleProgram("opens");
});
afterAll(() => rmSync(place, { recursive: true }));

const alone = async (
  how: string,
  environment: Record<string, string> = {},
  file = program,
): Promise<string> =>
  (await promisify(execFile)(process.execPath, [file, how], { env: { ...process.env, ...environment } }))
    .stdout;

test.each(["libmpi.so.40", "libmpich.so.12"])(
  "without a launcher a process is rank 0 of 1 (%s)",
  async (library) => {
    expect(await alone("", { MM_MPI_LIBRARY: library })).toBe("opened 0 of 1\n");
  },
);

test("finds a library by itself: the launcher's own first", async () => {
  expect(await alone("")).toBe("opened 0 of 1\n");
  for (const { command } of [openMpi, mpich]) {
    const { code, output } = await launch({ command, library: "" }, 2, program, [""], {
      environment: { MM_MPI_LIBRARY: "" },
    });
    expect({ code, lines: output.trim().split("\n").sort() }).toEqual({
      code: 0,
      lines: ["opened 0 of 2", "opened 1 of 2"],
    });
  }
});

test.each([
  {
    name: "Open MPI's launcher, MPICH's library",
    command: openMpi.command,
    library: mpich.library,
    says: "mpirun.mpich",
  },
  {
    name: "MPICH's launcher, Open MPI's library",
    command: mpich.command,
    library: openMpi.library,
    says: "mpirun.openmpi",
  },
])("$name: refused, with the other launcher's name", async ({ command, library, says }) => {
  const { output } = await launch({ command, library }, 2, program);
  const lines = output.split("\n").filter((line) => line.startsWith("launcher-mismatch"));
  expect({ count: lines.length, output }).toEqual({ count: 2, output });
  for (const line of lines) expect(line).toContain(`Start it with ${says}`);
});

test("without a library, or without koffi, the error says what to install", async () => {
  const missing = await alone("", { MM_MPI_LIBRARY: "libnone.so.1" });
  expect(missing).toContain(
    "library-missing: openMpi: expected a library of MPI that can be loaded: libnone.so.1",
  );
  expect(missing).toContain("apt-get install openmpi-bin");
  // In a folder that no koffi is installed above.
  const copy = join(place, "opens.mjs");
  cpSync(program, copy);
  expect(await alone("", { NODE_PATH: "" }, copy)).toContain("npm install koffi");
});

test("refuses unknown options, a second call, and calls after the end", async () => {
  expect(await alone("option")).toMatch(/^unknown-option: /);
  expect(await alone("twice")).toMatch(/invalid-option: openMpi: expected one call in a process/);
  expect(await alone("closed")).toMatch(/disposed: rank 0: allReduce/);
});
