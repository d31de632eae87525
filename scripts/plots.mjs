// Draws every schedule into docs/images/schedules, for docs/schedules.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createServer } from "vite";
import { aliases } from "./aliases.mjs";
import { root } from "./workspace.mjs";

// Reads TypeScript, and finds our packages where their sources are.
const vite = await createServer({
  configFile: false,
  root,
  appType: "custom",
  logLevel: "error",
  optimizeDeps: { noDiscovery: true },
  resolve: { alias: aliases("source") },
  server: { middlewareMode: true, ws: false, watch: null },
});
const { drawSchedules } = await vite.ssrLoadModule("/scripts/schedule-plots.ts");
const folder = join(root, "docs/images/schedules");
mkdirSync(folder, { recursive: true });
for (const [name, svg] of drawSchedules()) writeFileSync(join(folder, name), svg);
await vite.close();
