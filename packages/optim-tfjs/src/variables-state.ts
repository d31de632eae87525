import { OptimError } from "@mm/optim-core";
import { aTensor, checkSchema, integerFrom, type Schema } from "@mm/optim-core/schema";
import { describeVariable, namesAndFlags, type TfjsVariables } from "./parameters.ts";
import { pairedNames } from "./renamed.ts";
import { readTensors, writeVariable } from "./transfer.ts";

/** Variables by name, as plain data. */
export interface VariablesStateDict {
  readonly [name: string]: { readonly shape: readonly number[]; readonly values: Float32Array };
}

/** Variables that a run saves and resumes. */
export interface VariablesState {
  /** A copy of the values as of the call. Waits for the device. */
  stateDict(): Promise<VariablesStateDict>;
  /**
   * Overwrites the variables. Where names differ by the numbers alone that tfjs counts layers with, they are paired as {@link renamed} does.
   *
   * @throws OptimError `invalid-state`; `state-mismatch` for other names or shapes; `invalid-parameter` for a variable that was disposed. Nothing
   * has changed then
   */
  loadStateDict(state: unknown): void;
}

const schema = (): Schema => ({
  each: { fields: { shape: { items: integerFrom(0) }, values: aTensor } },
});

/**
 * The state of variables that no optimizer trains, and that a run needs to go on: moving means and variances of batch normalization. An optimizer
 * saves its parameters by itself.
 *
 * @param variables float32, of any shape. They stay the caller's
 *
 * @example
 * ```ts
 * const run = createRun({ optim, state: { statistics: variablesState(model.nonTrainableWeights) }, store });
 * ```
 * @throws OptimError `invalid-parameter`, `duplicate-parameter`
 */
export function variablesState(variables: TfjsVariables): VariablesState {
  const who = "variablesState";
  const named = Object.entries(namesAndFlags().named(variables, who));
  const shapes = (call: string): readonly (readonly number[])[] =>
    named.map(
      ([name, variable]) => describeVariable(variable, `${call}: variable ${JSON.stringify(name)}`).shape,
    );
  shapes(who);
  return {
    async stateDict() {
      const shape = shapes("variablesState.stateDict");
      const values = await readTensors(named.map(([, variable]) => variable));
      return Object.fromEntries(
        named.map(([name], index) => [
          name,
          { shape: shape[index] as readonly number[], values: values[index] as Float32Array },
        ]),
      );
    },
    loadStateDict(state) {
      const call = "variablesState.loadStateDict";
      checkSchema("invalid-state", call, state, schema());
      const saved = state as VariablesStateDict;
      const names = Object.keys(saved);
      const present = pairedNames(
        names,
        named.map(([name]) => name),
      );
      const values = new Map(names.map((name) => [present?.get(name) ?? name, saved[name]]));
      const here = shapes(call);
      const missing = named.map(([name]) => name).filter((name) => !values.has(name));
      const unexpected = [...values.keys()].filter((name) => !named.some(([own]) => own === name));
      const mismatched = named.flatMap(([name], index) => {
        const { shape, values: found } = values.get(name) ?? {};
        const wanted = here[index] as readonly number[];
        const length = wanted.reduce((product, size) => product * size, 1);
        const fits = String(shape) === String(wanted) && found?.length === length;
        return shape === undefined || fits ? [] : [`${name} [${String(shape)}] of ${String(found?.length)}`];
      });
      if (missing.length + unexpected.length + mismatched.length > 0) {
        throw new OptimError("state-mismatch", call, {
          expected: named.map(([name], index) => `${name} [${String(here[index])}]`).join(", "),
          received: [...missing.map((name) => `no ${name}`), ...unexpected, ...mismatched].join(", "),
          missing,
          unexpected,
          mismatched,
        });
      }
      for (const [name, variable] of named)
        writeVariable(variable, (values.get(name) as VariablesStateDict[string]).values);
    },
  };
}
