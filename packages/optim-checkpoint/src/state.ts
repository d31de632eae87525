import { pendingGradient, refuse } from "@mm/optim-core/backend";
import type { OptimizerStateDict, OptimWrapperStateDict, ParameterState } from "@mm/optim-core";
import {
  aBoolean,
  anything,
  aString,
  aTensor,
  checkSchema,
  integerFrom,
  type Schema,
} from "@mm/optim-core/schema";
import type { OptimWrapperDictStateDict } from "@mm/optim-dict";
import type { FileTensor } from "./tensor.ts";

/** The result of `stateDict()` of a wrapper or of a dict. */
export type SavedState = OptimWrapperStateDict | OptimWrapperDictStateDict;

/** Puts a tensor in a file, or takes one out, by the names that make its key. */
type Put = (names: readonly string[], tensor: FileTensor) => void;
type Take = (names: readonly string[], shape?: readonly number[]) => Float32Array;

// In a file a state is JSON without its tensors; those have keys of their own:
//
//   optim:state:NAME:SLOT            of a wrapper
//   optim:WRAPPER:state:NAME:SLOT    of a wrapper in a dict
//   …:state:NAME:grad                a pending gradient; no slot may have this name
//   …:native:FIELD                   the state of a wrapped optimizer of a host library
//
// In the JSON a parameter's `slots` are the list of their names, `gradient` is true where there is one, and `native` is a list of names.

/** Splits a state into plain data, which is returned, and tensors. @throws OptimError `invalid-state` */
export function packState(state: SavedState, put: Put): unknown {
  return eachWrapper(state, stateSchema(false), (wrapper, names) => ({
    ...wrapper,
    optimizer: packOptimizer(wrapper.optimizer, names, put),
  }));
}

/** Joins them again. @throws OptimError `invalid-state` */
export function unpackState(plain: unknown, take: Take): SavedState {
  return eachWrapper(plain as SavedState, stateSchema(true), (wrapper, names) => ({
    ...wrapper,
    optimizer: unpackOptimizer(wrapper.optimizer as never, names, take),
  })) as SavedState;
}

/** A state with each wrapper's part converted, told the names that the keys of its tensors begin with. @throws OptimError `invalid-state` */
export function eachWrapper(
  state: SavedState,
  schema: Schema,
  convert: (wrapper: OptimWrapperStateDict, names: readonly string[]) => unknown,
): unknown {
  const { format } = Object(state) as Partial<SavedState>;
  const one = (wrapper: OptimWrapperStateDict, names: readonly string[]): unknown => {
    checkSchema("invalid-state", names.join("."), wrapper, schema);
    return convert(wrapper, names);
  };
  if (format === "optim-wrapper") return one(state as OptimWrapperStateDict, [optim]);
  if (format !== "optim-wrapper-dict")
    refuse("invalid-state", optim, "the state of a wrapper or of a dict", state);
  checkSchema("invalid-state", optim, state, { fields: { wrappers: { each: anything } } });
  const { wrappers, ...rest } = state as OptimWrapperDictStateDict;
  return {
    ...rest,
    wrappers: Object.fromEntries(
      Object.entries(wrappers).map(([name, wrapper]) => [name, one(wrapper, [optim, name])]),
    ),
  };
}

export const optim = "optim";

/** An optimizer's state as it stands in the JSON. */
interface PlainOptimizerState extends Omit<OptimizerStateDict, "params" | "native"> {
  readonly params: readonly PlainParameterState[];
  readonly native?: readonly string[];
}

interface PlainParameterState extends Omit<ParameterState, "slots" | "gradient"> {
  readonly slots: readonly string[];
  readonly gradient?: boolean;
}

function packOptimizer(
  { params, native, ...rest }: OptimizerStateDict,
  names: readonly string[],
  put: Put,
): PlainOptimizerState {
  return {
    ...rest,
    params: params.map(({ slots, gradient, ...parameter }) => {
      const { name, shape } = parameter;
      const add = (slot: string, data: Float32Array): void =>
        put([...names, "state", name, slot], { dtype: "F32", shape, data });
      for (const [slot, data] of Object.entries(slots)) add(slot, data);
      if (gradient) add(pendingGradient, gradient);
      return { ...parameter, slots: Object.keys(slots), ...(gradient && { gradient: true }) };
    }),
    ...(native && { native: packNative(native, names, put) }),
  };
}

function packNative(
  native: NonNullable<OptimizerStateDict["native"]>,
  names: readonly string[],
  put: Put,
): readonly string[] {
  for (const [field, data] of Object.entries(native)) {
    put([...names, "native", field], { dtype: "F32", shape: [data.length], data });
  }
  return Object.keys(native);
}

function unpackOptimizer(
  { params, native, ...rest }: PlainOptimizerState,
  names: readonly string[],
  take: Take,
): OptimizerStateDict {
  return {
    ...rest,
    params: params.map(({ slots, gradient, ...parameter }) => {
      const { name, shape } = parameter;
      const find = (slot: string): Float32Array => take([...names, "state", name, slot], shape);
      return {
        ...parameter,
        slots: Object.fromEntries(slots.map((slot) => [slot, find(slot)])),
        ...(gradient && { gradient: find(pendingGradient) }),
      };
    }),
    ...(native && {
      native: Object.fromEntries(native.map((field) => [field, take([...names, "native", field])])),
    }),
  };
}

/** As far as a state is taken apart here, with its tensors or, `plain`, without. All of it is checked where it is loaded. */
export function stateSchema(plain: boolean): Schema {
  return {
    fields: {
      optimizer: {
        fields: {
          params: {
            items: {
              fields: {
                name: aString,
                shape: { items: integerFrom(0) },
                slots: plain ? { items: aString } : { each: aTensor },
                "gradient?": plain ? aBoolean : aTensor,
              },
            },
          },
          "native?": plain ? { items: aString } : { each: aTensor },
        },
      },
    },
  };
}
