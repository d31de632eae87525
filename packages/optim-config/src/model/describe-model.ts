import { refuse } from "@mm/optim-core/backend";
import { type LayersModel, layersModel } from "./layers-model.ts";
import type { DescribedParameter, ModelKind, ModelParameter } from "./model-kind.ts";
import { type NamedParameters, namedParameters } from "./named-parameters.ts";

/** The models whose parameters are read without a plugin. `P` is a parameter that the optimizer takes. */
export type Model<P> = NamedParameters<P> | LayersModel<P> | JoinedModels<P>;

/** Several models as one. */
export interface JoinedModels<out P> {
  readonly kind: "joined-models";
  readonly models: ReadonlyMap<string, unknown>;
  /** The type of the parameters; not there. */
  readonly parameter?: P;
}

type ParameterOf<M> = M extends LayersModel<infer P> | JoinedModels<infer P> | NamedParameters<infer P>
  ? P
  : never;

/**
 * Several models as one, for a dict of optimizers: what `generator` calls `layer1.kernel` is `generator.layer1.kernel` in the joined model.
 *
 * ```ts
 * buildOptimWrapperDict(joinModels({ generator, discriminator }), config, { optimizer: tfjsOptimizer, rules });
 * ```
 */
export function joinModels<const M extends { readonly [name: string]: Model<unknown> }>(
  models: M,
): JoinedModels<ParameterOf<M[keyof M]>> {
  return { kind: "joined-models", models: new Map(Object.entries(models)) };
}

/**
 * Reads the parameters of a model by the first kind that accepts it.
 *
 * @throws OptimError `invalid-parameter` for what no kind accepts, `empty-parameters`, `invalid-name` for one without a name,
 * `duplicate-parameter` for two of one name
 */
export function describeModel<P>(
  model: unknown,
  more: readonly ModelKind<never, P>[],
  who: string,
): readonly DescribedParameter<P>[] {
  const parameters = isJoined(model)
    ? [...model.models].flatMap(([name, part]) =>
        describeModel(part, more, `${who} ${JSON.stringify(name)}`).map((parameter) => ({
          ...parameter,
          name: `${name}.${parameter.name}`,
        })),
      )
    : readParameters(model, more, who);
  if (parameters.length === 0) refuse("empty-parameters", who, "at least one parameter", model);
  requireNames(parameters, who);
  return parameters;
}

/** The first few, for errors. */
export const listNames = (parameters: readonly ModelParameter[]): string =>
  [...parameters.slice(0, 8).map(({ name }) => name), ...(parameters.length > 8 ? ["…"] : [])].join(", ");

/** @throws OptimError `invalid-name`, `duplicate-parameter` */
export function requireNames(parameters: readonly ModelParameter[], who: string): void {
  const names = new Set<unknown>();
  for (const { name } of parameters) {
    if (typeof name !== "string" || name === "") refuse("invalid-name", who, "parameters with names", name);
    if (names.has(name)) refuse("duplicate-parameter", who, "each name once", name);
    names.add(name);
  }
}

function readParameters<P>(
  model: unknown,
  more: readonly ModelKind<never, P>[],
  who: string,
): readonly DescribedParameter<P>[] {
  const kinds = [...more, layersModel, namedParameters] as unknown as readonly ModelKind<unknown, P>[];
  const kind = kinds.find(({ accepts }) => accepts(model));
  if (kind === undefined) {
    const known = kinds.map(({ name }) => name).join(", or ");
    return refuse("invalid-parameter", who, known, model, {
      hint: "For another kind of model, hand in how to read it: { models: [kind] }",
    });
  }
  return Array.from(kind.parameters(model), (parameter) => ({ ...parameter, tells: kind.kinds }));
}

const isJoined = (model: unknown): model is JoinedModels<unknown> =>
  (model as Partial<JoinedModels<unknown>> | null | undefined)?.kind === "joined-models";
