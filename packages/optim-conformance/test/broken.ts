import {
  type BaseHyperparameters,
  type Capabilities,
  type Optimizer,
  OptimError,
  type ParametersInput,
  type SlotOptions,
} from "@mm/optim-core";
import {
  arrayKernels,
  clipCoefficient,
  createOptimizer,
  type Engine,
  hostStages,
  type Program,
  refuse,
} from "@mm/optim-core/backend";
import { add, div, mul, type Scalar, sqrt, sub, type Tensor, type UpdateRule } from "@mm/optim-core/rule";
import { cutting, printed, wrongPrinters } from "./printers.ts";
import type { LinearTerm, OptimizerFactory } from "../src/index.ts";
import {
  type Allocations,
  type GradientClosure,
  referenceEngine,
  type ReferenceEngine,
  referenceFactory,
  type ReferenceParameter,
} from "../src/reference.ts";

export type ReferenceFactory = OptimizerFactory<ReferenceParameter, GradientClosure, number>;
type ReferenceOptimizer<H extends BaseHyperparameters> = Optimizer<GradientClosure, number, H>;

/** A backend with one fault, and the test of the kit that has to find it. */
export interface BrokenBackend {
  readonly fault: string;
  readonly caughtBy: string;
  readonly factory: ReferenceFactory;
}

const kernels = arrayKernels();
const access = {
  open: ({ value }: { readonly value: ReferenceParameter }): Float32Array =>
    value instanceof Float32Array ? value : value.data,
};
type Moments = { readonly [name in "param" | "expAvg" | "expAvgSq"]: Tensor };

export const brokenBackends: readonly BrokenBackend[] = [
  {
    fault: "says that its device decides, and decides at once",
    caughtBy: "capabilities: decides says whether the step itself refuses, or the next read",
    factory: withEngine((engine) => ({
      ...engine,
      capabilities: { ...engine.capabilities, decides: "device" },
    })),
  },
  {
    fault: "says that it cannot transfer, and does",
    caughtBy: "capabilities: calls that they rule out are refused",
    factory: {
      ...withEngine((engine) => ({
        ...engine,
        capabilities: { ...engine.capabilities, transfer: false },
      })),
      readParameter: (parameter) => Promise.resolve(access.open({ value: parameter }).slice()),
    },
  },
  {
    fault: "says that it works on copies, and writes in place",
    caughtBy: "capabilities: inPlace says whether a step writes where the parameter was",
    factory: saying({ inPlace: false }),
  },
  {
    fault: "says that it writes in place, and makes new storage",
    caughtBy: "capabilities: inPlace says whether a step writes where the parameter was",
    factory: withEngine((engine) => ({
      ...engine,
      stages: {
        ...engine.stages,
        update(items, ...given) {
          engine.stages.update(items, ...given);
          for (const { parameter } of items) {
            const { value } = parameter;
            Object.assign(value, { data: access.open(parameter).slice() });
          }
        },
      },
    })),
  },
  {
    fault: "says that a rule is many kernels, and has it in one",
    caughtBy: "capabilities: fused says whether a rule is a kernel of its own",
    factory: launching({ fused: false }, () => 1),
  },
  {
    fault: "says that a rule is one kernel, and runs it operation by operation",
    caughtBy: "capabilities: fused says whether a rule is a kernel of its own",
    factory: launching({ fused: true }, ({ nodes }) => nodes.length),
  },
  {
    fault: "says that steps are counted for all together, and counts each parameter's",
    caughtBy: "capabilities: perParameterSteps says whether each parameter counts its own steps",
    factory: saying({ perParameterSteps: false }),
  },
  {
    fault: "says that steps are counted for each parameter, and counts all together",
    caughtBy: "capabilities: perParameterSteps says whether each parameter counts its own steps",
    factory: withEngine((engine) => {
      let steps = 0;
      return {
        ...engine,
        stages: {
          ...engine.stages,
          update(items, ...given) {
            for (const { parameter } of items) parameter.step = steps;
            engine.stages.update(items, ...given);
            steps += 1;
          },
        },
      };
    }),
  },
  {
    fault: "says that a parameter has at most 4 elements, and takes any",
    caughtBy: "capabilities: maxParameterLength is the largest parameter that is taken",
    factory: saying({ maxParameterLength: 4 }),
  },
  {
    fault: "says that a parameter may have 8 elements, and takes 4",
    caughtBy: "capabilities: maxParameterLength is the largest parameter that is taken",
    factory: withEngine((engine) => ({
      ...engine,
      capabilities: { ...engine.capabilities, maxParameterLength: 8 },
      describe(value, where) {
        const described = engine.describe(value, where);
        if (access.open({ value }).length > 4)
          refuse("invalid-parameter", where, "at most 4 elements", access.open({ value }).length);
        return described;
      },
    })),
  },
  {
    fault: "clips before it unscales",
    caughtBy: "unscale: comes before clipping by norm",
    factory: withEngine((engine) => ({
      ...engine,
      stages: {
        ...engine.stages,
        // As if the raw norm were the gradient's.
        clip: (factor, { norm = 0 }, clipGrad) => factor * clipCoefficient(norm, clipGrad),
      },
    })),
  },
  {
    fault: "sums over a window in place of the mean",
    caughtBy: "accumulation: a window is stepped once, by the mean of its micro-batches",
    factory: withEngine((engine) => ({
      ...engine,
      differentiate: (loss, request) => engine.differentiate(loss, { ...request, scale: 1 }),
    })),
  },
  {
    fault: "moves the moments in a skipped step",
    caughtBy: "loss scale: a skipped step moves neither moments nor the step count",
    factory: withEngine((engine) => ({
      ...engine,
      stages: {
        ...engine.stages,
        update(items, factor, checked, clipGrad) {
          if (checked.finite === 0) for (const { slots } of items) for (const slot of slots) slot.fill(0.5);
          engine.stages.update(items, factor, checked, clipGrad);
        },
      },
    })),
  },
  {
    fault: "counts a skipped step",
    caughtBy: "loss scale: a skipped step moves neither moments nor the step count",
    factory: withEngine((engine) => ({
      ...engine,
      stages: {
        ...engine.stages,
        update(items, factor, checked, clipGrad) {
          if (checked.finite === 0) for (const { parameter } of items) parameter.step += 1;
          engine.stages.update(items, factor, checked, clipGrad);
        },
      },
    })),
  },
  {
    fault: "loads state by position",
    caughtBy: "state: is matched by name, not by position",
    factory: withOptimizer((optimizer) => ({
      prepareLoad: (state, options) =>
        optimizer.prepareLoad(
          {
            ...state,
            params: state.params.map((saved, index) => ({
              ...saved,
              name: optimizer.parameters[index]?.name ?? saved.name,
            })),
          },
          options,
        ),
    })),
  },
  {
    fault: "scales the library's gradients in place",
    caughtBy: "gradients: the caller's arrays are read, never written",
    factory: libraryFactory((accumulator, gradient, scale, overwrite) => {
      for (let i = 0; i < gradient.length; i += 1) gradient[i] = (gradient[i] as number) * scale;
      kernels.accumulate(accumulator, gradient, 1, overwrite);
    }),
  },
  {
    fault: "puts eps inside the root",
    caughtBy: "rules: Adam adds eps outside the root",
    factory: withRule("Adam", (rule) => ({
      ...rule,
      definition: {
        ...rule.definition,
        update(x, h, structure) {
          const next = rule.definition.update(x, h, structure) as unknown as Moments;
          const { param } = x as unknown as Moments;
          const { lr, eps } = h as unknown as { readonly lr: Scalar; readonly eps: Scalar };
          const direction = div(next.expAvg, sqrt(add(next.expAvgSq, eps)));
          return { ...next, param: sub(param, mul(lr, direction)) } as unknown as ReturnType<
            typeof rule.definition.update
          >;
        },
      },
    })),
  },
  {
    fault: "corrects the bias by one step too many",
    caughtBy: "rules: Adam corrects its bias from the first step",
    factory: withRule("Adam", (rule) => ({
      ...rule,
      definition: {
        ...rule.definition,
        update: (x, h, structure) =>
          rule.definition.update({ ...x, step: add(x["step"] as never, 1) as never }, h, structure),
      },
    })),
  },
  {
    fault: "leaks one buffer at its end",
    caughtBy: "lifecycle: dispose frees all that training allocated",
    factory: withEngine((engine, allocations) => {
      let kept = false;
      return {
        ...engine,
        release(vector) {
          engine.release(vector);
          if (kept) return;
          kept = true;
          allocations.live += 1;
        },
      };
    }),
  },
  {
    fault: "leaks one buffer a backward",
    caughtBy: "lifecycle: training allocates nothing that lasts",
    factory: withEngine((engine, allocations) => ({
      ...engine,
      differentiate(loss, request) {
        allocations.live += 1;
        return engine.differentiate(loss, request);
      },
    })),
  },
  {
    fault: "stops half way through a load",
    caughtBy: "state: a load that is refused changes nothing",
    factory: withOptimizer((optimizer) => ({
      prepareLoad(state, options) {
        try {
          return optimizer.prepareLoad(state, options);
        } catch (error) {
          // The part that fits is installed before the rest is refused.
          if (error instanceof OptimError && error.code === "state-mismatch") {
            optimizer.prepareLoad(state, { ...options, strict: false }).commit();
          }
          throw error;
        }
      },
    })),
  },
  {
    fault: "zeroes gradients in place of forgetting them",
    caughtBy: "missing gradients: after zeroGrad they are absent, not zero",
    factory: withOptimizer((optimizer) => ({
      zeroGrad() {
        optimizer.zeroGrad();
        const zeros = optimizer.parameters.map(({ name, shape }) => [
          name,
          new Float32Array(shape.reduce((length, side) => length * side, 1)),
        ]);
        optimizer.writeGradients(Object.fromEntries(zeros) as Record<string, Float32Array>);
      },
    })),
  },
  {
    fault: "drops the gradients in a step",
    caughtBy: "accumulation: backwards add up until zeroGrad",
    factory: withOptimizer((optimizer) => ({
      step(options) {
        const stepped = optimizer.step(options);
        optimizer.zeroGrad();
        return stepped;
      },
    })),
  },
  {
    fault: "overwrites in place of adding up",
    caughtBy: "accumulation: backwards add up until zeroGrad",
    factory: withEngine((engine) => ({
      ...engine,
      accumulate: ({ accumulator }, gradient) =>
        kernels.accumulate(accumulator as Float32Array, gradient, 1, true),
    })),
  },
  {
    fault: "sums squares in float32",
    caughtBy: "clip: finite gradients have a finite norm, however large",
    factory: withEngine((engine) => ({
      ...engine,
      stages: hostStages(
        {
          ...kernels,
          reduce: (vector, reduction) =>
            reduction === "max"
              ? kernels.reduce(vector, reduction)
              : Math.fround(kernels.reduce(vector, reduction)),
        },
        access,
      ),
    })),
  },
  {
    fault: "measures the norm of each parameter alone",
    caughtBy: "clip: by the 2-norm of all parameters together",
    factory: withEngine((engine) => ({
      ...engine,
      stages: {
        ...engine.stages,
        check: (items, request) => engine.stages.check(items.slice(0, 1), request),
      },
    })),
  },
  {
    fault: "checks after clipping by value",
    caughtBy: "loss scale: clipping by value does not hide an overflow",
    factory: withEngine((engine) => ({
      ...engine,
      stages: {
        ...engine.stages,
        update(items, factor, checked, clipGrad) {
          const finite = clipGrad?.type === "value" ? 1 : checked.finite;
          engine.stages.update(items, factor, { ...checked, finite }, clipGrad);
        },
      },
    })),
  },
  {
    fault: "unscales by the scale of the moment",
    caughtBy: "unscale: by the scale that the window began with",
    factory: withEngine((engine) => {
      let current = (): number => 1;
      return {
        ...engine,
        createLossScaler(settings) {
          const scaler = engine.createLossScaler(settings);
          current = () => scaler.current();
          return scaler;
        },
        stages: {
          ...engine.stages,
          unscale: (rescale, lossScale) => engine.stages.unscale(rescale, lossScale && current()),
        },
      };
    }),
  },
  {
    fault: "lets NaN through as a number",
    caughtBy: "gradients: what a non-finite one touches is its own element",
    factory: withEngine((engine) => ({
      ...engine,
      accumulate(parameter, gradient, request) {
        engine.accumulate(
          parameter,
          gradient.map((value) => (Number.isNaN(value) ? 0 : value)),
          request,
        );
      },
    })),
  },
  {
    fault: "hands out its own memory as a snapshot",
    caughtBy: "state: is what it was at the call, whatever is trained before it arrives",
    factory: withEngine((engine) => ({
      ...engine,
      // Copied when the promise is awaited, not when it is made.
      read: async (vectors) => {
        await Promise.resolve();
        return engine.read(vectors);
      },
    })),
  },
  {
    fault: "reads gradients without copying them",
    caughtBy: "transfer: what is read is a private copy in one buffer, in declared order",
    factory: withEngine((engine) => ({ ...engine, read: (vectors) => Promise.resolve([...vectors]) })),
  },
  {
    fault: "reads gradients without waiting and without copying them",
    caughtBy: "transfer: what is read without waiting is what waiting reads, a private copy in one buffer",
    factory: withEngine((engine) => ({ ...engine, readSync: (vectors) => [...vectors] })),
  },
  {
    fault: "forgets that gradients were read, where they were read without waiting",
    caughtBy: "transfer: gradients that were read without waiting may be written, until they change",
    factory: withOptimizer((optimizer) => ({
      readGradientsSync() {
        const gradients = optimizer.readGradientsSync?.() ?? {};
        // The effect of a write of nothing.
        optimizer.writeGradients({});
        return gradients;
      },
    })),
  },
  {
    fault: "takes a learning rate when it is made, and never again",
    caughtBy: "live hyperparameters: a learning rate counts from the next step",
    factory: withOptimizer((optimizer) => {
      const { lr } = optimizer.paramGroups[0];
      return {
        step(options) {
          const assigned = optimizer.paramGroups.map((group) => group.lr);
          for (const group of optimizer.paramGroups) if (optimizer.paramGroups.length === 1) group.lr = lr;
          const stepped = optimizer.step(options);
          for (const [index, value] of assigned.entries())
            Object.assign(optimizer.paramGroups[index] as object, { lr: value });
          return stepped;
        },
      };
    }),
  },
  {
    fault: "throws errors without a code",
    caughtBy: "errors: a loss that is none",
    factory: withOptimizer((optimizer) => ({
      backward(loss, options) {
        try {
          return optimizer.backward(loss, options);
        } catch (error) {
          throw new Error((error as Error).message, { cause: error });
        }
      },
    })),
  },
  {
    fault: "works on after its end",
    caughtBy: "lifecycle: dispose twice is fine, anything else after it is refused",
    factory: withOptimizer((optimizer) => {
      let ended = false;
      return {
        dispose() {
          ended = true;
          optimizer.dispose();
        },
        zeroGrad() {
          if (!ended) optimizer.zeroGrad();
        },
      };
    }),
  },
  {
    fault: "steps what is frozen",
    caughtBy: "freeze: a frozen parameter takes no step",
    factory: withOptimizer((optimizer) => {
      let frozen: readonly string[] = [];
      return {
        freeze(names) {
          optimizer.freeze(names);
          optimizer.unfreeze(names);
          frozen = [...frozen, ...names];
        },
        unfreeze(names) {
          frozen = frozen.filter((name) => !names.includes(name));
        },
        get frozen() {
          return frozen;
        },
      };
    }),
  },
  {
    fault: "counts a step where it only puts the evaluation point into the parameters",
    caughtBy: "evaluation: points of any shape are those of the reference, and training goes on to the bit",
    factory: withEngine((engine) => ({
      ...engine,
      stages: {
        ...engine.stages,
        run: (items) => engine.stages.update(items, 1, { norm: undefined, finite: undefined }, undefined),
      },
    })),
  },
  {
    fault: "begins slots that are to begin as the parameter with zeros",
    caughtBy: "evaluation: the point stands in the parameters inside, and what was trained comes back",
    factory: withEngine((engine) => ({
      ...engine,
      allocateCopy: (parameter) => engine.allocateCopy(parameter).fill(0),
    })),
  },
  {
    fault: "makes another identity of a parameter for each optimizer",
    caughtBy:
      "evaluation: meanwhile whatever would mix up the two is refused, by every optimizer over the parameters",
    factory: withEngine((engine) => {
      const identities = new Map<unknown, object>();
      return {
        ...engine,
        describe(value, where) {
          const { identity, ...others } = engine.describe(value, where);
          if (!identities.has(identity)) identities.set(identity, {});
          return { ...others, identity: identities.get(identity) };
        },
      };
    }),
  },
  {
    fault: "takes a part of a tensor that is all zeros for one of size 1",
    caughtBy: "norms: p = 8, of dense, sparse and mixed gradients from 1e-30 to 1e30",
    factory: referenceFactory("broken", {
      kernels: {
        ...kernels,
        // As if 0 ÷ 0 were 1, which the sum of a p-th power then has for it.
        reduce: (vector, reduction, finiteOnly) =>
          reduction !== "max" && reduction.power > 2 && vector.every((value) => value === 0)
            ? 1
            : kernels.reduce(vector, reduction, finiteOnly),
      },
    }),
  },
  {
    fault: "loses a hyperparameter of 0",
    caughtBy: "edges: Adam with each hyperparameter at 0, at the largest that it takes, and switched",
    factory: referenceFactory("broken", {
      kernels: {
        ...kernels,
        run: (program, pass, vectors, extents, uniforms, sums) =>
          kernels.run(
            program,
            pass,
            vectors,
            extents,
            uniforms.map((value) => (value === 0 ? Number.NaN : value)),
            sums,
          ),
      },
    }),
  },
  {
    fault: "returns a loss that nobody asked for",
    caughtBy: "accumulation: backward returns nothing unless it is asked for the loss",
    factory: withEngine((engine) => ({
      ...engine,
      differentiate: (loss, request) => engine.differentiate(loss, { ...request, returnLoss: true }),
    })),
  },
  {
    fault: "cuts off what bfloat16 has not, and does not round",
    caughtBy: "slots: those of SGD in bfloat16 are what float32 gives, rounded to nearest, ties to even",
    factory: referenceFactory("broken", { kernels: printed(cutting) }),
  },
  {
    fault: "says that it keeps slots in bfloat16, and does not",
    caughtBy: "slots: those of SGD in bfloat16 are what float32 gives, rounded to nearest, ties to even",
    factory: {
      ...referenceFactory("broken"),
      createOptimizer: (rule, parameters) => referenceFactory().createOptimizer(rule, parameters),
    },
  },
];

/** The reference backend with a printer of kernels that has one fault. */
export const brokenPrinters: readonly BrokenBackend[] = wrongPrinters.map(([fault, caughtBy, printer]) => ({
  fault,
  caughtBy,
  factory: referenceFactory("broken", { kernels: printed(printer) }),
}));

/** The reference backend over the printer that they are made of, which has none. */
export const printingFactory: ReferenceFactory = referenceFactory("printing", { kernels: printed() });

/** The reference backend, which says something else of itself. */
function saying(capabilities: Partial<Capabilities>): ReferenceFactory {
  return withEngine((engine) => ({ ...engine, capabilities: { ...engine.capabilities, ...capabilities } }));
}

/** The reference backend, which says this of itself, and launches so many kernels for a program. */
function launching(
  capabilities: Partial<Capabilities>,
  launchesOf: (program: Program) => number,
): ReferenceFactory {
  let launched = 0;
  return {
    ...withEngine((engine) => ({
      ...engine,
      capabilities: { ...engine.capabilities, ...capabilities },
      stages: hostStages(
        {
          ...kernels,
          run(program, ...given) {
            launched += launchesOf(program);
            kernels.run(program, ...given);
          },
        },
        access,
      ),
    })),
    launches: () => launched,
  };
}

/** The reference backend with another engine. */
function withEngine(
  change: (engine: ReferenceEngine, allocations: Allocations) => ReferenceEngine,
): ReferenceFactory {
  const allocations = { live: 0 };
  return {
    ...referenceFactory("broken", { allocations }),
    createOptimizer<H extends BaseHyperparameters>(
      rule: UpdateRule<H>,
      parameters: ParametersInput<ReferenceParameter, H>,
      options?: SlotOptions,
    ): ReferenceOptimizer<H> {
      const engine = change(
        referenceEngine(() => optimizer.parameters, { allocations }),
        allocations,
      );
      const optimizer: ReferenceOptimizer<H> = createOptimizer("broken", engine, rule, parameters, options);
      return optimizer;
    },
  };
}

/** The reference backend with some members of its optimizers replaced. */
export function withOptimizer(
  change: (
    optimizer: ReferenceOptimizer<BaseHyperparameters>,
  ) => Partial<ReferenceOptimizer<BaseHyperparameters>>,
): ReferenceFactory {
  const factory = referenceFactory("broken");
  return {
    ...factory,
    createOptimizer(rule, parameters, options) {
      const optimizer = factory.createOptimizer(rule, parameters, options);
      const changed = change(optimizer);
      return new Proxy(optimizer, {
        get(target, key) {
          if (Object.hasOwn(changed, key)) return changed[key as keyof typeof changed];
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === "function" ? (value as () => unknown).bind(target) : value;
        },
      });
    },
  };
}

/** The reference backend with another rule in the place of one. */
function withRule(
  name: string,
  change: <H extends BaseHyperparameters>(rule: UpdateRule<H>) => UpdateRule<H>,
): ReferenceFactory {
  const factory = referenceFactory("broken");
  return {
    ...factory,
    createOptimizer: (rule, parameters, options) =>
      factory.createOptimizer(rule.name === name ? change(rule) : rule, parameters, options),
  };
}

type LibraryLoss = () => { readonly value: number; readonly gradients: ReadonlyMap<string, Float32Array> };
type Accumulate = typeof kernels.accumulate;

/**
 * A backend for a host library that computes gradients itself, and owns them: what it returns may be the caller's data. `accumulate` is
 * what the backend does with them.
 */
export function libraryFactory(accumulate: Accumulate = kernels.accumulate): ReferenceFactory {
  const allocations = { live: 0 };
  const base = referenceEngine(() => [], { allocations });
  const engine: Engine<LibraryLoss, number, ReferenceParameter, Float32Array, Float32Array, number> = {
    ...base,
    backend: "library",
    differentiate(loss, { parameters, returnLoss }) {
      const result: unknown = loss();
      if (!(Object(result) as Partial<ReturnType<LibraryLoss>>).gradients) {
        throw new OptimError("invalid-loss", "library", { expected: "a loss", received: result });
      }
      const { value, gradients } = result as ReturnType<LibraryLoss>;
      return {
        value: returnLoss ? value : undefined,
        gradients: parameters.flatMap((parameter) => {
          const gradient = gradients.get(parameter.name);
          return gradient === undefined ? [] : [[parameter, gradient] as const];
        }),
      };
    },
    accumulate({ accumulator, pending }, gradient, { scale, lossScale = 1 }) {
      accumulate(accumulator as Float32Array, gradient, scale * lossScale, !pending);
    },
    createLossScaler: (settings) => Object.assign(base.createLossScaler(settings), { backend: "library" }),
  };
  const factory: OptimizerFactory<ReferenceParameter, LibraryLoss, number> = {
    name: "library",
    createParameter: (values, shape) => ({ data: values.slice(), shape }),
    createOptimizer: (rule, parameters, options) =>
      createOptimizer(
        "library",
        { ...engine, stages: hostStages(kernels, access) },
        rule,
        parameters,
        options,
      ),
    linearLoss: (terms: readonly LinearTerm<ReferenceParameter>[]) => () => ({
      value: terms.reduce((sum, { parameter, gradient }) => sum + dot(parameter, gradient), 0),
      gradients: new Map(terms.map(({ name, gradient }) => [name, gradient])),
    }),
    readLoss: (value) => value,
    liveAllocations: () => allocations.live,
  };
  return factory as unknown as ReferenceFactory;
}

function dot(parameter: ReferenceParameter, gradient: Float32Array): number {
  const data = access.open({ value: parameter });
  return data.reduce((sum, value, index) => sum + value * (gradient[index] as number), 0);
}
