import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runCommand } from "../src/command.ts";

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "create-"));
});
afterEach(() => rmSync(place, { recursive: true }));

/** Runs the command, and tells what it wrote. */
function create(...args: readonly string[]): { status: number; stdout: string; stderr: string } {
  const written = { stdout: "", stderr: "" };
  const into = (stream: "stdout" | "stderr") => ({
    write: (text: string) => {
      written[stream] += text;
    },
  });
  const status = runCommand(args, { stdout: into("stdout"), stderr: into("stderr") });
  return { status, ...written };
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

const manifestIn = (folder: string) =>
  JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    readonly [key: string]: unknown;
    readonly dependencies: { readonly [name: string]: string };
    readonly devDependencies: { readonly [name: string]: string };
    readonly peerDependencies?: { readonly [name: string]: string };
  };

test("a package with everything that one needs", () => {
  const folder = join(place, "below", "optim-my-lib");
  const { status, stdout, stderr } = create(folder);
  expect([status, stderr]).toEqual([0, ""]);
  const files = filesIn(folder);
  expect(files).toEqual([
    ".github/workflows/ci.yml",
    ".github/workflows/publish.yml",
    ".gitignore",
    "README.md",
    "package.json",
    "src/differentiate.ts",
    "src/engine.ts",
    "src/index.ts",
    "src/my-lib-optimizer.ts",
    "src/variable.ts",
    "test/conformance.test.ts",
    "test/my-lib-optimizer.test.ts",
    "test/tsconfig.json",
    "tsconfig.json",
  ]);
  for (const file of files) expect(stdout).toContain(`  ${file}\n`);
  const text = files.map((file) => readFileSync(join(folder, file), "utf8")).join("\n");
  expect(text).not.toMatch(/example/i);
  expect(text).toContain("export function myLibOptimizer<");
  expect(text).toContain("export type MyLibLoss =");
  expect(text).toContain('backend: "my-lib"');
  expect(text).toContain('from "./my-lib-optimizer.ts"');
  expect(text).toContain('from "optim-my-lib";');
});

test("core is a dependency, the host a peer, and the kit is for development", () => {
  const folder = join(place, "it");
  expect(create(folder, "--name", "@you/optim-jax", "--host", "@jax-js/jax@^0.1.25").status).toBe(0);
  const manifest = manifestIn(folder);
  expect(manifest).toMatchObject({
    name: "@you/optim-jax",
    sideEffects: false,
    publishConfig: { access: "public", provenance: true },
    peerDependencies: { "@jax-js/jax": "^0.1.25" },
  });
  expect(Object.keys(manifest.dependencies)).toEqual(["@mm/optim-core"]);
  expect(Object.keys(manifest.devDependencies)).toEqual([
    "@jax-js/jax",
    "@mm/optim-conformance",
    "@mm/optim-rules",
    "publint",
    "typescript",
    "vitest",
  ]);
  expect(filesIn(folder)).toContain("src/jax-optimizer.ts");
});

test("without a host there is no peer", () => {
  create(join(place, "optim-x"));
  expect(manifestIn(join(place, "optim-x")).peerDependencies).toBeUndefined();
});

test.each([
  ["optim-jax", "jaxOptimizer"],
  ["my-backend", "myOptimizer"],
  ["@you/tiny-tensor-optim", "tinyTensorOptimizer"],
  ["optim-onnx.web", "onnxWebOptimizer"],
])("%s has %s", (name, entry) => {
  const folder = join(place, "it");
  expect(create(folder, "--name", name)).toMatchObject({ status: 0, stderr: "" });
  expect(readFileSync(join(folder, "src/index.ts"), "utf8")).toContain(`{ ${entry} }`);
});

test("an empty folder is fine, one with files is not, and keeps them as they are", () => {
  const [empty, full, file] = ["empty", "full", "file"].map((name) => join(place, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(empty);
  mkdirSync(full);
  writeFileSync(join(full, "notes.txt"), "mine");
  writeFileSync(file, "mine");
  expect(create(empty, "--name", "optim-x").status).toBe(0);
  for (const taken of [full, file]) {
    const { status, stderr } = create(taken, "--name", "optim-x");
    expect(status).toBe(1);
    expect(stderr).toContain("not empty");
  }
  expect(filesIn(full)).toEqual(["notes.txt"]);
});

test.each([
  ["no folder", []],
  ["two folders", ["optim-a", "optim-b"]],
  ["an option that nobody reads", ["optim-a", "--hots", "x@1"]],
  ["a name that npm does not take", ["it", "--name", "Optim X"]],
  ["a scope without a name", ["it", "--name", "@you"]],
  ["a name with two slashes", ["it", "--name", "@you/a/b"]],
  ["a name that is too long", ["it", "--name", `optim-${"a".repeat(209)}`]],
  ["a name that leaves no word", ["it", "--name", "optim-"]],
  ["a name whose word begins with a digit", ["it", "--name", "optim-3d"]],
  ["a host without versions", ["optim-a", "--host", "@jax-js/jax"]],
  ["a host that is none", ["optim-a", "--host", "Jax@1"]],
])("%s is refused, with the usage, and nothing is written", (_, args) => {
  const [folder, ...others] = args;
  const { status, stdout, stderr } = create(
    ...(folder === undefined ? [] : [join(place, folder)]),
    ...others,
  );
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^create-optim-backend: .+\n\nnpm create @mm\/optim-backend FOLDER/);
  expect(readdirSync(place)).toEqual([]);
});

test("help says how", () => {
  const { status, stdout, stderr } = create("--help");
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^npm create @mm\/optim-backend FOLDER/);
  expect(existsSync(join(place, "package.json"))).toBe(false);
});
