import * as tf from "@tensorflow/tfjs-core";
import type { Ratio, Section } from "../measure.ts";
import { names } from "../network.ts";
import { measure } from "./measure.ts";

// The page behind webgl/index.html: a button, a table, and a line to copy.

const element = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;
const [button, table, line, status] = ["run", "table", "line", "status"].map(element) as [
  HTMLElement,
  HTMLElement,
  HTMLElement,
  HTMLElement,
];
const smoke = new URLSearchParams(location.search).has("smoke");

button.addEventListener("click", () => {
  button.setAttribute("disabled", "");
  run().catch((error: unknown) => {
    status.textContent = String(error);
  });
});

async function run(): Promise<void> {
  const sections = await measure({ smoke }, (text) => {
    status.textContent = `Measuring: ${text}.`;
  });
  table.replaceChildren(...sections.map(tableRow));
  const device = deviceName();
  line.textContent = `| ${[device, ...sections.flatMap(ratiosOf)].join(" | ")} |`;
  status.textContent = `Done, on ${device}.`;
  document.body.dataset["sections"] = JSON.stringify(sections);
}

const figure = (value: number | undefined): string => value?.toPrecision(3) ?? "";
const ratiosOf = ({ ratios }: Section): string[] => ratios.slice(0, 2).map(({ value }) => figure(value));
const withQuartiles = ({ value, quartiles }: Ratio): string =>
  quartiles === undefined ? figure(value) : `${figure(value)} (${quartiles.map(figure).join(" to ")})`;

function tableRow(section: Section): HTMLElement {
  const tr = document.createElement("tr");
  const of = (name: string): string => {
    const time = section.timings.find((timing) => timing.name === name)?.medianMs;
    return time === undefined ? "" : `${figure(time)} ms`;
  };
  const cells = [
    section.title,
    of(names.floor),
    of(names.native),
    of(names.plain),
    ...section.ratios.slice(0, 2).map(withQuartiles),
  ];
  for (const text of cells) {
    const td = document.createElement("td");
    td.textContent = text;
    tr.append(td);
  }
  return tr;
}

/** The name that the driver gives itself. */
function deviceName(): string {
  const { gl } = (tf.backend() as unknown as { readonly gpgpu: { readonly gl: WebGL2RenderingContext } })
    .gpgpu;
  const driver = gl.getExtension("WEBGL_debug_renderer_info");
  return String(gl.getParameter(driver?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER));
}
