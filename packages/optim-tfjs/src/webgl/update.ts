import type { Program, StepClip } from "@mm/optim-core/backend";
import type { Canvas } from "./canvas.ts";
import type { Linked } from "./surface.ts";
import { type Item, type Lane, registersOf } from "./lanes.ts";
import { rowsAndColumns, type Source, type Target } from "./layout.ts";
import type { Knowledge, RulePrograms, UpdateDraw } from "./programs.ts";

/** A parameter with what its update reads: parameter, gradient, slots. */
export interface Prepared {
  readonly item: Item;
  readonly inputs: readonly Source[];
  readonly draws: readonly UpdateDraw[];
}

/** The part that all items of a lane have in common. */
export interface LaneUniforms {
  readonly host: Float32Array;
  /** The lane's row in the record. */
  readonly row: number;
}

/** The uniforms that the host sets. */
export function hostUniforms(
  lane: Lane,
  programs: RulePrograms,
  knowledge: Knowledge,
  { factor, clipGrad }: { readonly factor: number; readonly clipGrad: StepClip | undefined },
): Float32Array {
  const registers = registersOf(lane);
  const places = programs.places(knowledge);
  const host = new Float32Array(4 * Math.max(1, Math.ceil(places.length / 4)));
  for (const [index, place] of places.entries()) {
    if (place.on === "record") continue;
    const source = lane.program.uniforms[index] as Program["uniforms"][number];
    host[place.index] =
      source.from === "scalar"
        ? (registers[source.register] as number)
        : source.from === "clipValue" && clipGrad?.type === "value"
          ? clipGrad.clipValue
          : factor;
  }
  return host;
}

/**
 * Draws the next values of one parameter into new textures, which take the place of the old ones. Clones, reshapes and slices keep what
 * they had.
 */
export function drawUpdate(
  canvas: Canvas,
  { item, inputs, draws }: Prepared,
  uniforms: LaneUniforms,
  record: Target | undefined,
): void {
  const { store } = canvas;
  const { value: variable } = item.parameter;
  const { shape } = variable;
  const vectors = [...item.slots, ...store.besides(item)];
  const info = canvas.output(shape);
  const planes = vectors.map(() => store.make(shape));
  const targets = [canvas.target(info), ...planes];
  const all = record === undefined ? inputs : [...inputs, record];
  for (const { linked, outputs } of draws) {
    canvas.draw({
      linked,
      inputs: all,
      outputs: outputs.map((output) => targets[output] as (typeof targets)[number]),
      set: (gl, into) => setUniforms(gl, into, uniforms, shape, (targets[0] as { width: number }).width),
    });
  }
  const next = canvas.tensor(info);
  variable.assign(next);
  next.dispose();
  // The old ones go back to the pool only now: until here they were read.
  for (const [index, vector] of vectors.entries()) store.put(vector, planes[index] as Target);
  store.assigned(item);
}

function setUniforms(
  gl: WebGL2RenderingContext,
  linked: Linked,
  uniforms: LaneUniforms,
  shape: readonly number[],
  width: number,
): void {
  if (linked.holds !== uniforms) {
    linked.holds = uniforms;
    const { host, row } = uniforms;
    gl.uniform4fv(linked.location("host"), host);
    gl.uniform1i(linked.location("row"), row);
  }
  const location = linked.location("shape");
  if (location === null) return;
  const [rows, columns] = rowsAndColumns(shape);
  gl.uniform3i(location, rows, columns, width);
}
