// Lets a script load TypeScript, with our packages where their sources are.
import { createServer } from "vite";
import { aliases } from "./aliases.mjs";
import { root } from "./workspace.mjs";

/** @returns {Promise<import("vite").ViteDevServer>} for `ssrLoadModule`; the caller closes it */
export const sourceServer = () =>
  createServer({
    configFile: false,
    root,
    appType: "custom",
    logLevel: "error",
    optimizeDeps: { noDiscovery: true },
    resolve: { alias: aliases("source") },
    server: { middlewareMode: true, ws: false, watch: null },
  });
