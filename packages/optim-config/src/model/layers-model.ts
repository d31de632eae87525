import type { ModelKind, ModelParameter, ParameterKind } from "./model-kind.ts";

/** A tfjs LayersModel (`tf.sequential()`, `tf.model()`), as far as it is read. `W` is the type of its weights. */
export interface LayersModel<out W = LayerWeight> {
  readonly layers: readonly object[];
  readonly weights: readonly W[];
  readonly trainableWeights: readonly W[];
}

interface LayerWeight {
  readonly name: string;
  /** `name` without the suffix that makes it unique in the process. */
  readonly originalName?: string;
  readonly shape: readonly (number | null)[];
  readonly dtype: string;
  readonly trainable: boolean;
  read(): unknown;
}

/** A layer, and the places where layers have layers: models, wrappers, recurrent layers with several cells. */
interface Layer {
  readonly name: string;
  readonly weights: readonly LayerWeight[];
  getClassName(): string;
  readonly layers?: readonly Layer[];
  readonly layer?: Layer;
  readonly forwardLayer?: Layer;
  readonly backwardLayer?: Layer;
  readonly cell?: { readonly cells?: readonly Layer[] };
}

/**
 * tfjs LayersModels, known by their members: nothing is imported. A parameter is called `layer.weight` (`dense_1.kernel`), in a model within a
 * model `inner.dense_1.kernel`. Give layers names: those that tfjs makes up count on through the process.
 *
 * Moving means and variances are no parameters. What a layer freezes (`layer.trainable = false`) is a parameter all the same.
 */
export const layersModel: ModelKind<LayersModel> = {
  name: "LayersModel",
  kinds: ["bias", "norm", "depthwise", "flat"],
  accepts: (model) => {
    const { layers, weights, trainableWeights } = Object(model) as Partial<LayersModel>;
    return [layers, weights, trainableWeights].every(Array.isArray);
  },
  parameters(model) {
    const trainable = new Set<unknown>(model.trainableWeights);
    return read(model as unknown as Layer, "").map((parameter) => ({
      ...parameter,
      // A variable's own flag the optimizer reads by itself, at every step. Recurrent layers and models do not set it.
      ...(parameter.value.trainable && !trainable.has(parameter.value) && { frozen: true }),
    }));
  },
};

function read(layer: Layer, path: string): ModelParameter<LayerWeight>[] {
  const inner = innerLayers(layer);
  if (inner) return inner.flatMap((child) => read(child, `${path}${child.name}.`));
  const className = layer.getClassName();
  return layer.weights.flatMap((value) => {
    const local = (value.originalName ?? value.name).split("/").at(-1) ?? "";
    const isNorm = /Norm(alization)?$/iu.test(className);
    if ((isNorm && local.startsWith("moving_")) || value.dtype !== "float32") return [];
    const kinds: ParameterKind[] = [];
    if (local === "bias" || (isNorm && local === "beta")) kinds.push("bias");
    if (isNorm) kinds.push("norm");
    if (local === "depthwise_kernel" || className === "DepthwiseConv2D") kinds.push("depthwise");
    if (value.shape.length === 1) kinds.push("flat");
    return [{ name: `${path}${local}`, value, kinds, identity: value.read() }];
  });
}

function innerLayers({
  layers,
  layer,
  forwardLayer,
  backwardLayer,
  cell,
}: Layer): readonly Layer[] | undefined {
  if (layers) return layers;
  if (forwardLayer && backwardLayer) return [forwardLayer, backwardLayer];
  return layer ? [layer] : cell?.cells;
}
