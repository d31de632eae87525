import type { Program } from "@mm/optim-core/backend";
import { type Accumulation, AdditionPlan, type WebgpuStepParameter } from "./accumulate.ts";
import type { Device } from "./device.ts";
import { record, recordWords, updateKernel } from "./kernel/index.ts";
import type { ParameterPort, ParameterRange } from "./port.ts";
import type { Planes, Vector } from "./storage.ts";
import { dispatch, Table } from "./table.ts";
import { layOutTable, type TileRun } from "./table-layout.ts";
import { bindingAlignment } from "./usage.ts";

/** Leaves a parameter what it is: what the update kernel then does is to store the master weights, rounded. */
const storing: Program = {
  label: "store",
  slots: [],
  scalarSlots: [],
  nodes: [{ op: "param" }],
  slotAxes: [],
  axes: [3],
  outputs: { param: 0, slots: [] },
  uniforms: [],
  scalars: [],
  scalarOutputs: [],
  reductions: [],
  matrices: [],
  passes: [{ kind: "update", axes: 3, stores: [] }],
};

/** Bytes of a parameter in float16, in whole words. */
export function halfBytes({ length }: ParameterRange): number {
  return 4 * Math.ceil(length / 2);
}

/** The float32 weights of parameters in float16. */
export class Masters<P> {
  readonly #device: Device;
  readonly #port: ParameterPort<P>;
  readonly #planes: Planes;
  readonly #accumulation: Accumulation<P>;

  constructor(device: Device, port: ParameterPort<P>, planes: Planes, accumulation: Accumulation<P>) {
    this.#device = device;
    this.#port = port;
    this.#planes = planes;
    this.#accumulation = accumulation;
  }

  /** The content of the parameter, as float32. */
  create(parameter: WebgpuStepParameter<P>): Vector {
    const master = this.#planes.allocate(parameter.name, 0);
    const range = this.#port.resolve(parameter.value);
    const { vector: halves } = this.#accumulation.incoming(parameter.name, "float16");
    const adding = { parameter: { ...parameter, accumulator: master, pending: false }, incoming: halves };
    const plan = new AdditionPlan(this.#device, [adding]);
    const encoder = this.#device.createEncoder("master");
    const { buffer, offset } = halves.binding;
    if (range.length > 0)
      encoder.copyBufferToBuffer(range.buffer, range.offset, buffer, offset, halfBytes(range));
    plan.record([adding], encoder);
    this.#device.submit([encoder.finish()]);
    plan.destroy();
    return master;
  }

  /** Rounds master weights into their parameter. */
  store({ value }: WebgpuStepParameter<P>, master: Vector): void {
    const range = this.#port.resolve(value);
    const { buffer, offset, length } = range;
    const shift = offset % bindingAlignment;
    const member = { planeStart: master.place.start, paramStart: shift / 2, length };
    const table = new Table(this.#device, "store", layOutTable(0, recordWords(storing), [member]));
    table.setWord(table.recordAt(0) + record.live, 1);
    table.upload();
    const { runs } = table.layout;
    const { count } = runs[0] as TileRun;
    const [tiles] = table.bindRuns("store", runs);
    const kernel = this.#device.kernel(updateKernel(storing, "packed"));
    const group = this.#device.bind(kernel, [
      { buffer, offset: offset - shift, size: Math.max(4, shift + halfBytes(range)) },
      // In the place of a gradient, which is not read.
      { buffer: table.buffer },
      { buffer: master.buffer },
      { buffer: table.buffer },
      tiles as GPUBufferBinding,
    ]);
    const encoder = this.#device.createEncoder("store");
    const pass = encoder.beginComputePass({ label: "optim store" });
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, group);
    if (count > 0) dispatch(pass, count);
    pass.end();
    this.#device.submit([encoder.finish()]);
    table.destroy();
  }
}
