// Runs the tools: one line a job, and a tool's own output only when it failed.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { root } from "./workspace.mjs";

const bin = join(root, "node_modules", ".bin");
const env = {
  ...process.env,
  CI: "true", // no tool asks a question
  TURBO_TELEMETRY_DISABLED: "1",
  PATH: `${bin}:${process.env.PATH}`,
};

/** @returns {Promise<boolean>} whether the command succeeded */
export async function run(job, [command, ...args], cwd = root) {
  const start = performance.now();
  const output = [];
  const status = await new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk) => output.push(chunk));
    child.stderr.on("data", (chunk) => output.push(chunk));
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => resolve(code ?? signal));
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (status === 0) console.error(`${job}: done in ${seconds} s`);
  else {
    const text = Buffer.concat(output).toString();
    console.error(process.stderr.isTTY ? text : stripVTControlCharacters(text));
    console.error(`${job}: failed (${status}) after ${seconds} s`);
  }
  return status === 0;
}

/** Runs every job, two at a time, whatever becomes of the others; then exits with 1 if any failed. */
export async function runAll(jobs) {
  const waiting = [...jobs];
  const failed = [];
  const work = async () => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      const [name, command, cwd] = job;
      if (!(await run(name, command, cwd))) failed.push(name);
    }
  };
  await Promise.all([work(), work()]);
  if (failed.length === 0) return;
  console.error(`failed: ${failed.join(", ")}`);
  process.exit(1);
}
