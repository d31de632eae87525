import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";
import { aliases } from "../scripts/aliases.mjs";

const stage = process.env["TEST_STAGE"] === "built" ? "built" : "source";
const entry = fileURLToPath(new URL("entry-of-a-test.ts", import.meta.url));

const isOurs = (id: string): boolean => /\/packages\/optim-[^/]+\/(src|dist)\//.test(id);

export interface BundleOptions {
  /** Modules that stay outside. */
  readonly external?: RegExp;
  /** Whether what a module of ours does when it is imported stays, whatever `sideEffects` of its package.json promises. */
  readonly keepEffects?: boolean;
}

/** The bundle of a module that is given as text, as an application's bundler would make it: minified. */
export async function chunksOf(
  code: string,
  { external, keepEffects = false }: BundleOptions = {},
): Promise<readonly Rollup.OutputChunk[]> {
  const { output } = (await build({
    configFile: false,
    logLevel: "silent",
    root: fileURLToPath(new URL(".", import.meta.url)),
    resolve: { alias: aliases(stage) },
    plugins: [
      {
        name: "entry",
        resolveId: (id: string) => (id === entry ? id : undefined),
        load: (id: string) => (id === entry ? code : undefined),
        transform: (source: string, id: string) =>
          keepEffects && isOurs(id) ? { code: source, moduleSideEffects: true } : undefined,
      },
    ],
    build: {
      write: false,
      minify: true,
      target: "es2022",
      rollupOptions: { input: entry, preserveEntrySignatures: "strict", ...(external && { external }) },
    },
  })) as Rollup.RollupOutput;
  return output.filter((chunk) => chunk.type === "chunk");
}

/** Its text. */
export async function bundle(code: string): Promise<string> {
  return (await chunksOf(code)).map((chunk) => chunk.code).join("\n");
}

/** Files of our packages, as `package/folder/name`, with those of their exports that are in the bundle of a module. */
export async function filesIn(code: string): Promise<Map<string, readonly string[]>> {
  const chunks = await chunksOf(code, { keepEffects: true });
  return new Map(
    chunks
      .flatMap(({ modules }) => Object.entries(modules))
      .filter(([id, { renderedLength }]) => isOurs(id) && renderedLength > 0)
      .map(([id, { renderedExports }]) => [
        id.replace(/^.*\/packages\/optim-([^/]+)\/(?:src|dist)\/(.*)\.[jt]s$/, "$1/$2"),
        renderedExports,
      ]),
  );
}

/** Bundles a module and runs it: what it exports. */
export async function run(code: string): Promise<Readonly<Record<string, unknown>>> {
  const url = `data:text/javascript,${encodeURIComponent(await bundle(code))}`;
  return (await import(/* @vite-ignore */ url)) as Readonly<Record<string, unknown>>;
}
