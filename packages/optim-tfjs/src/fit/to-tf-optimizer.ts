import { aString, checkSchema } from "@mm/optim-core/schema";
import { refuse } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { TfOptimizer } from "./tf-optimizer.ts";
import type { TfjsWrapper } from "./wrapper.ts";

export interface TfOptimizerOptions {
  /**
   * Under what name `model.save` notes the optimizer, and {@link registerTfOptimizer} finds the function that makes it. Not one of tfjs's
   * own, and without `_`, which tfjs changes when it loads. Default `"OptimWrapper"`.
   */
  readonly name?: string;
}

/** `import * as tf from "@tensorflow/tfjs-core"`, or the `tf` of a script tag, as far as it is used. */
export interface TfjsModule {
  readonly serialization: {
    readonly registerClass: (registered: never) => unknown;
    readonly SerializationMap: { getMap(): { readonly classNameMap: object } };
  };
}

export interface RegisterTfOptimizerOptions extends TfOptimizerOptions {
  /**
   * The copy of tfjs whose `loadLayersModel` shall find the optimizer. Default: the one that this package imports. Two copies come about
   * where a package brings a version of its own, and where a page has tfjs in a script tag and in its bundle: they share variables and
   * kernels, but not the table of classes.
   */
  readonly tf?: TfjsModule;
}

/**
 * A `tf.Optimizer` out of a wrapper, for `model.compile({ optimizer })` and whatever else takes one. Variables are known only when training
 * begins: `create` is called with them at the first `minimize` or `applyGradients`, once. They are those that the call names, or, where it
 * has no list, those that are trainable and that its loss reaches.
 *
 * `minimize` is `wrapper.updateParams`, so that numbers are those of a loop of one's own to the bit: a call is one micro-batch, and steps
 * when its window is full. Whatever else the wrapper can do, `optimizer.wrapper` or the closure over `create` does: schedules, metrics,
 * `flush()` at the end of an epoch.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 *
 * @example
 * ```ts
 * const optimizer = toTfOptimizer((variables) =>
 *   createOptimWrapper(tfjsOptimizer(adamw({ lr: 1e-3 }), variables), { clipGrad: { maxNorm: 1 } }),
 * );
 * model.compile({ optimizer, loss: "meanSquaredError" });
 * await model.fit(x, y, { epochs: 10 });
 * ```
 */
export function toTfOptimizer<W extends TfjsWrapper>(
  create: (variables: readonly tf.Variable[]) => W,
  options: TfOptimizerOptions = {},
): TfOptimizer<W> {
  const who = "toTfOptimizer";
  checkCreate(who, create);
  checkSchema("invalid-option", who, options, { fields: { "name?": aString } });
  return new TfOptimizer(create, checkedName(who, options.name, tf));
}

/**
 * Tells tfjs how to make the optimizer of a model that was saved with it (`model.save(url, { includeOptimizer: true })`), as
 * `tf.serialization.registerClass` does for layers of one's own. `tf.loadLayersModel(url)` then gives a compiled model that trains on as if it
 * had never been saved, to the bit. Later calls replace earlier ones of the same name.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function registerTfOptimizer(
  create: (variables: readonly tf.Variable[]) => TfjsWrapper,
  options: RegisterTfOptimizerOptions = {},
): void {
  const who = "registerTfOptimizer";
  checkCreate(who, create);
  checkSchema("invalid-option", who, options, {
    fields: { "name?": aString, "tf?": [isTfjs, "a copy of tfjs: import * as tf"] },
  });
  const module = options.tf ?? tf;
  const className = checkedName(who, options.name, module);
  const registered = {
    className,
    fromConfig: (): tf.Optimizer => new TfOptimizer(create, className),
    createWrapper: create,
  };
  // tfjs takes a class, of which it uses the first two members.
  module.serialization.registerClass(registered as never);
}

function checkCreate(who: string, create: unknown): void {
  if (typeof create === "function") return;
  refuse("invalid-option", who, "a function that makes a wrapper from variables", create, {
    hint: "Variables are known only when training begins: (variables) => createOptimWrapper(tfjsOptimizer(rule, variables))",
  });
}

const isTfjs = (value: unknown): boolean =>
  typeof (Object(value) as Partial<TfjsModule>).serialization?.SerializationMap.getMap === "function";

function checkedName(who: string, name = "OptimWrapper", { serialization }: TfjsModule): string {
  const { classNameMap } = serialization.SerializationMap.getMap();
  const [known] = (classNameMap as { readonly [name: string]: readonly [object] | undefined })[name] ?? [];
  if (/^[^_]+$/.test(name) && (known === undefined || "createWrapper" in known)) return name;
  return refuse("invalid-option", `${who}: name`, "a name without _ that tfjs does not use itself", name);
}
