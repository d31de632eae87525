import { OptimError, refuse } from "../../errors.ts";
import { anything, checkSchema, isTensor } from "../../schema.ts";
import type { NamedTensors } from "../../state.ts";
import { lengthOf, type Parameter } from "../parameter.ts";
import type { OptimizerParts } from "./parts.ts";

/** The accumulators of parameters that have a gradient, with their names. */
function pendingOf<P, V, S>({
  set,
  pending,
}: OptimizerParts<P, V, S>): {
  readonly parameters: readonly Parameter<P, V, S>[];
  readonly vectors: readonly V[];
} {
  pending.markRead();
  const parameters = set.parameters.filter((parameter) => parameter.pending);
  return { parameters, vectors: parameters.map(({ accumulator }) => accumulator as V) };
}

export async function readGradients<P, V, S>(parts: OptimizerParts<P, V, S>): Promise<NamedTensors> {
  const { parameters, vectors } = pendingOf(parts);
  return byNames(parameters, await parts.engine.read(vectors));
}

export function readGradientsSync<P, V, S>(
  parts: OptimizerParts<P, V, S>,
  read: (vectors: readonly V[]) => readonly Float32Array[],
): NamedTensors {
  const { parameters, vectors } = pendingOf(parts);
  return byNames(parameters, read(vectors));
}

export function writeGradients<P, V, S>(parts: OptimizerParts<P, V, S>, gradients: NamedTensors): void {
  const { engine, pending } = parts;
  if (pending.changedSinceRead) {
    throw new OptimError("gradients-changed", "writeGradients", {
      expected: "no backward, step or zeroGrad since readGradients(): read them again",
    });
  }
  const writes = checkedTensors(parts, gradients, "writeGradients");
  for (const [parameter] of writes) parameter.accumulator ??= engine.allocate(parameter, 0);
  for (const [parameter, data] of writes) {
    engine.write(parameter.accumulator as V, data);
    parameter.pending = true;
  }
  pending.markWritten();
}

export async function readParameters<P, V, S>(parts: OptimizerParts<P, V, S>): Promise<NamedTensors> {
  const { parameters } = parts.set;
  requireLive(parts, parameters, "readParameters");
  return byNames(parameters, await parts.engine.readParameters(parameters));
}

export function writeParameters<P, V, S>(parts: OptimizerParts<P, V, S>, values: NamedTensors): void {
  const writes = checkedTensors(parts, values, "writeParameters");
  const written = writes.map(([parameter]) => parameter);
  requireLive(parts, written, "writeParameters");
  for (const [parameter, data] of writes) parts.engine.writeParameter(parameter, data);
}

function checkedTensors<P, V, S>(
  { set, lifecycle }: OptimizerParts<P, V, S>,
  tensors: NamedTensors,
  call: string,
): readonly (readonly [Parameter<P, V, S>, Float32Array])[] {
  checkSchema("invalid-parameter", lifecycle.at(call), tensors, { each: anything });
  return Object.entries(tensors).map(([name, data]) => {
    const parameter = set.named(name, lifecycle.at(call));
    if (!isTensor(data) || data.length !== parameter.length) {
      const where = lifecycle.at(`${call}: ${JSON.stringify(name)}`);
      refuse("invalid-parameter", where, `a Float32Array of ${parameter.length}`, data);
    }
    return [parameter, data];
  });
}

/** Refuses parameters that were disposed or lost their memory since, before any of them is read or written. */
function requireLive<P, V, S>(
  { engine, lifecycle }: OptimizerParts<P, V, S>,
  parameters: readonly Parameter<P, V, S>[],
  call: string,
): void {
  for (const { name, value, length } of parameters) {
    const where = lifecycle.at(`${call}: parameter ${JSON.stringify(name)}`);
    const size = lengthOf(engine.describe(value, where).shape);
    if (size !== length) refuse("invalid-parameter", where, `its ${length} elements`, size);
  }
}

function byNames<P, V, S>(
  parameters: readonly Parameter<P, V, S>[],
  tensors: readonly Float32Array[],
): NamedTensors {
  const named = Object.create(null) as Record<string, Float32Array>;
  for (const [index, { name }] of parameters.entries()) named[name] = tensors[index] as Float32Array;
  return named;
}
