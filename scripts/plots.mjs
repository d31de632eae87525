// Draws every schedule into docs/images/schedules, for docs/schedules.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sourceServer } from "./source-server.mjs";
import { root } from "./workspace.mjs";

const vite = await sourceServer();
const { drawSchedules } = await vite.ssrLoadModule("/scripts/schedule-plots.ts");
const folder = join(root, "docs/images/schedules");
mkdirSync(folder, { recursive: true });
for (const [name, svg] of drawSchedules()) writeFileSync(join(folder, name), svg);
await vite.close();
