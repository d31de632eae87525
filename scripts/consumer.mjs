// Stands where a user stands: packs every published package, installs the tarballs into a project outside of the workspace, and there
// compiles against them, imports, requires, bundles and runs them. Catches what a workspace hides: files left out of a tarball,
// dependencies that are not declared, declarations that only compile with our own settings, code that no bundler can drop.
//
//   node scripts/consumer.mjs          prints the sizes of what it bundled
//   node scripts/consumer.mjs --keep   leaves the project, and says where
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { createBackend } from "./consumer/backend.mjs";
import { load } from "./consumer/load.mjs";
import { runPrograms } from "./consumer/programs.mjs";
import { checkContents, createProject } from "./consumer/project.mjs";
import { checkShaking } from "./consumer/shake.mjs";
import { compilePackages, compilePrograms } from "./consumer/types.mjs";

const { keep } = parseArgs({ options: { keep: { type: "boolean" } } }).values;

const steps = [
  checkContents,
  load,
  compilePackages,
  compilePrograms,
  checkShaking,
  runPrograms,
  createBackend,
];

const project = createProject();
try {
  // Each step takes what the one before it found to be right.
  for (const step of steps) {
    const problems = await step(project);
    if (problems.length === 0) continue;
    console.error(problems.join("\n\n"));
    process.exitCode = 1;
    break;
  }
} finally {
  if (keep) console.log(project.folder);
  else rmSync(project.folder, { recursive: true });
}
