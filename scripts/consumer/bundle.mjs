// The two bundlers, as a user would call them: minified ES modules, other people's packages left out.
import { builtinModules } from "node:module";
import { join } from "node:path";
import * as esbuild from "esbuild";
import * as vite from "vite";

const platform = [/^node:/, ...builtinModules];

/**
 * @typedef {object} Input
 * @property {string} folder the project
 * @property {string} input a file in it
 * @property {readonly string[]} external packages that stay imports
 *
 * @type {Record<string, (input: Input) => Promise<string>>} the code
 */
export const bundlers = {
  async esbuild({ folder, input, external }) {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: folder,
      entryPoints: [input],
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      target: "es2022",
      external: ["node:*", ...external],
      logLevel: "error",
    });
    return outputFiles[0].text;
  },

  async vite({ folder, input, external }) {
    const { output } = await vite.build({
      root: folder,
      configFile: false,
      logLevel: "error",
      build: {
        target: "es2022",
        write: false,
        modulePreload: false,
        rollupOptions: {
          input: join(folder, input),
          external: [...platform, ...external],
          preserveEntrySignatures: "strict",
        },
      },
    });
    return output[0].code;
  },
};
