// Rules (type-aware: they read what the build made), types of everything that is not emitted, formatting.
import { runAll } from "./run.mjs";

await runAll([
  ["rules", ["oxlint", "--type-aware", "--deny-warnings"]],
  ["formatting", ["prettier", "--check", "--log-level", "warn", "."]],
  ["types", ["tsc", "-p", "."]],
]);
