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
  readonly trainable?: boolean;
  readonly weights: readonly LayerWeight[];
  getClassName(): string;
  readonly layers?: readonly Layer[];
  readonly layer?: Layer;
  readonly forwardLayer?: Layer;
  readonly backwardLayer?: Layer;
  readonly cell?: Layer & { readonly cells?: readonly Layer[] };
}

/**
 * tfjs LayersModels, known by their members: nothing is imported. A parameter is called `layer.weight` (`dense_1.kernel`), in a model within a
 * model `inner.dense_1.kernel`. Give layers names: those that tfjs makes up count on through the process.
 *
 * Moving means and variances are no parameters. A frozen weight (`layer.trainable = false`) is a parameter all the same; the flag stays live.
 */
export const layersModel: ModelKind<LayersModel> = {
  name: "LayersModel",
  kinds: ["bias", "norm", "embedding", "depthwise", "flat"],
  accepts: (model) => {
    const { layers, weights, trainableWeights } = Object(model) as Partial<LayersModel>;
    return [layers, weights, trainableWeights].every(Array.isArray);
  },
  parameters: (model) => read(model as unknown as Layer, "", []),
};

/** `above` are the layers that the flag of `layer` is below. */
function read(layer: Layer, path: string, above: readonly Layer[]): ModelParameter<LayerWeight>[] {
  const inner = innerLayers(layer);
  const flags = [...above, ...(hasOwnFlag(layer) ? [layer] : []), ...(layer.cell ? [layer.cell] : [])];
  if (inner) return inner.flatMap((child) => read(child, `${path}${child.name}.`, flags));
  const className = layer.getClassName();
  return layer.weights.flatMap((value) => {
    const local = (value.originalName ?? value.name).split("/").at(-1) ?? "";
    const isNorm = /Norm(alization)?$/iu.test(className);
    if ((isNorm && local.startsWith("moving_")) || value.dtype !== "float32") return [];
    const kinds: ParameterKind[] = [];
    if (local === "bias" || (isNorm && local === "beta")) kinds.push("bias");
    if (isNorm) kinds.push("norm");
    if (className === "Embedding") kinds.push("embedding");
    if (local === "depthwise_kernel" || className === "DepthwiseConv2D") kinds.push("depthwise");
    if (value.shape.length === 1) kinds.push("flat");
    return [{ name: `${path}${local}`, value: withFlagsOf(flags, value), kinds, identity: value.read() }];
  });
}

/**
 * The weight, with a `trainable` that tells of its layers too. Layers that are built frozen, recurrent ones, and models within models do not pass
 * their flag on to the variable, and who thaws them later only sets the flag of the layer: so it is asked for at every step.
 */
function withFlagsOf(layers: readonly Layer[], value: LayerWeight): LayerWeight {
  const get = (): boolean => value.trainable && layers.every(({ trainable }) => trainable !== false);
  return Object.create(value, { trainable: { get, enumerable: true } }) as LayerWeight;
}

/** A bidirectional layer has a flag that it only passes on: what counts is that of its halves. */
const hasOwnFlag = ({ forwardLayer }: Layer): boolean => forwardLayer === undefined;

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
