// Run by kit.test.ts: the kit under node:test, from the sources.
import { after, test } from "node:test";
import { createServer } from "vite";
import { aliases } from "../../../scripts/aliases.mjs";

const vite = await createServer({
  configFile: false,
  appType: "custom",
  logLevel: "error",
  optimizeDeps: { noDiscovery: true },
  resolve: { alias: aliases("source") },
  server: { middlewareMode: true, ws: false, watch: null },
});
after(() => vite.close());

const { referenceFactory, testOptimizer } = await vite.ssrLoadModule("@mm/optim-conformance");
testOptimizer({ test, factory: referenceFactory() });
