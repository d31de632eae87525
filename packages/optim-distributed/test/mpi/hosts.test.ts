// Two hosts, as namespaces with a network between them: exchanges by TCP. Does not run where namespaces may not be made.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import type { Comparison } from "../cases/equality.ts";
import type { Results } from "../cases/index.ts";
import { bundleProgram } from "../program.ts";
import { ob1, permissions } from "./launch.ts";

const place = mkdtempSync(join(tmpdir(), "optim-distributed-hosts-"));
afterAll(() => rmSync(place, { recursive: true }));

const network = "10.77.0.0/24";
const options = `--mca btl tcp,self --mca btl_tcp_if_include ${network} --mca oob_tcp_if_include ${network}
  --mca plm_rsh_agent AGENT --host 10.77.0.1:1,10.77.0.2:1 -n 2`.split(/\s+/);

test("two hosts over TCP: the numbers of one process, replicas equal to the bit", async () => {
  const program = await bundleProgram("ranks");
  const hosts = fileURLToPath(new URL("hosts.sh", import.meta.url));
  const cases = ["arrays: adamw", "arena: momentum, clipped"];
  const line = [
    "-k",
    "5",
    "60",
    hosts,
    ...ob1.command,
    ...options,
    process.execPath,
    program,
    place,
    ...cases,
  ];
  const child = spawn("timeout", line, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...permissions },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const [code] = (await once(child, "close")) as [number | null];
  expect({ code, output }).toEqual({ code: 0, output });

  const results = [0, 1].map(
    (rank) => JSON.parse(readFileSync(join(place, `${rank}.json`), "utf8")) as Results,
  );
  expect(results.map(({ host }) => host)).toEqual(["host-a", "host-b"]);
  for (const name of cases) {
    const [first, second] = results.map((result) => result[name] as Comparison);
    expect(second?.hash).toEqual(first?.hash);
    expect(first?.difference).toBeLessThanOrEqual(1e-6);
  }
}, 300_000);
