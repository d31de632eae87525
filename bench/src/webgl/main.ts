import * as tf from "@tensorflow/tfjs-core";
import { drawn, drawnAndClipped, measure, native, type Row } from "./measure.ts";

// The page behind webgl/index.html: a button, a table, and a line to copy.

const element = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;
const [button, table, line, status] = ["run", "table", "line", "status"].map(element) as [
  HTMLElement,
  HTMLElement,
  HTMLElement,
  HTMLElement,
];
const smoke = new URLSearchParams(location.search).has("smoke");
const sizes = smoke
  ? ([[2, 400]] as const)
  : ([
      [4, 1_000_000],
      [100, 10_000],
      [300, 1000],
    ] as const);

button.addEventListener("click", () => {
  button.setAttribute("disabled", "");
  run().catch((error: unknown) => {
    status.textContent = String(error);
  });
});

async function run(): Promise<void> {
  const rows = await measure({ rounds: smoke ? 1 : 9, sizes }, (text) => {
    status.textContent = `measuring: ${text}`;
  });
  table.replaceChildren(...rows.map(tableRow));
  const device = deviceName();
  line.textContent = `| ${[device, ...rows.flatMap(ratios)].join(" | ")} |`;
  status.textContent = `done, on ${device}`;
  document.body.dataset["rows"] = JSON.stringify(rows);
}

const figure = (value: number | undefined): string => value?.toPrecision(3) ?? "";
const ratios = (row: Row): string[] => [drawn, drawnAndClipped].map((name) => figure(row.ratios[name]));

function tableRow(row: Row): HTMLElement {
  const tr = document.createElement("tr");
  for (const text of [row.title, `${figure(row.medians[native])} ms`, ...ratios(row)]) {
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
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  return String(gl.getParameter(names?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER));
}
