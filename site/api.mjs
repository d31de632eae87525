// The API reference: a page for each entry point of a published package, written by TypeDoc from the comments of the sources.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Application } from "typedoc";
import { entryPoints, root } from "../scripts/workspace.mjs";

/** @param {string} out the folder to write to */
export async function writeApi(out) {
  const points = entryPoints();
  const app = await Application.bootstrapWithPlugins({
    entryPoints: points.map(({ source }) => join(root, source)),
    tsconfig: fileURLToPath(new URL("tsconfig.api.json", import.meta.url)),
    basePath: root,
    plugin: ["typedoc-plugin-markdown"],
    outputFileStrategy: "modules",
    readme: "none",
    entryFileName: "index",
    groupOrder: ["Functions", "Variables", "Classes", "Interfaces", "Type Aliases"],
    excludeExternals: true,
    outputs: [{ name: "markdown", path: out }],
    disableSources: true,
    excludeInternal: true,
    skipErrorChecking: true, // the build has checked
    logLevel: "Warn",
    hideBreadcrumbs: true,
    useHTMLAnchors: true,
    hidePageHeader: true,
    useCodeBlocks: true,
    expandObjects: true,
    parametersFormat: "table",
    interfacePropertiesFormat: "table",
  });
  const project = await app.convert();
  if (project === undefined) throw new Error("TypeDoc found no API");
  const specifiers = new Map(points.map(({ source, specifier }) => [dirname(source), specifier]));
  for (const module of project.children ?? []) module.name = specifiers.get(module.name) ?? module.name;
  await app.generateOutputs(project);
  if (app.logger.hasWarnings()) throw new Error("TypeDoc warned");
}
