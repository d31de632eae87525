import * as tf from "@tensorflow/tfjs-core";
import { refuse } from "@mm/optim-core/backend";

type Registered = { readonly [name: string]: tf.Variable | undefined };

/** The trainable ones of the whole process, as tfjs takes them. A variable that is not float32 has no gradient. */
export function trainableVariables(): readonly tf.Variable[] {
  return Object.values(tf.engine().registeredVariables).filter(
    ({ trainable, dtype }) => trainable && dtype === "float32",
  );
}

/** The live variables of these names. */
export function variablesNamed(names: readonly string[]): readonly tf.Variable[] {
  const registered = tf.engine().registeredVariables as Registered;
  return names.flatMap((name) => registered[name] ?? []);
}

/** @throws OptimError `unknown-parameter` */
export function variableNamed(name: string, who: string): tf.Variable {
  return (
    variablesNamed([name])[0] ??
    refuse("unknown-parameter", who, "gradients by the names of live variables", name, {
      hint: "tfjs knows a variable by variable.name until it is disposed",
    })
  );
}
