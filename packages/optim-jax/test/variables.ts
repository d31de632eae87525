// Tests of what the kit cannot know: closures, references and lazy arrays of jax-js.
import { jit, numpy as np } from "@jax-js/jax";
import { createOptimWrapper } from "@mm/optim-core";
import {
  type ArraysOf,
  type JaxLoss,
  jaxOptimizer,
  jitLoss,
  type ReadVariables,
  Variable,
} from "@mm/optim-jax";
import { sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { arrayOf, elementsOf, valuesOf, variableOf } from "./factory.ts";

export function testVariables(device: Variable["device"]): void {
  const variable = (...values: number[]): Variable => variableOf(device, ...values);
  const array = (...values: number[]): np.Array =>
    arrayOf(Float32Array.from(values), [values.length], device);
  /** L = Σ w², with the gradient 2 w. */
  const squares =
    (w: Variable): JaxLoss =>
    (at) =>
      at(w).mul(at(w)).sum();

  test(`${device}: a step goes against the gradient that jax-js finds`, async () => {
    const [w, b] = [variable(1, 2), variable(3)];
    const optim = createOptimWrapper(jaxOptimizer(sgd({ lr: 0.5 }), { w, b }));
    // L = Σw³ + b²: gradients 3w² = (3, 12) and 2b = 6
    optim.updateParams((at) =>
      at(w)
        .mul(at(w))
        .mul(at(w))
        .sum()
        .add(at(b).mul(at(b)).sum()),
    );
    expect(await valuesOf(w)).toEqual([1 - 0.5 * 3, 2 - 0.5 * 12]);
    expect(await valuesOf(b)).toEqual([3 - 0.5 * 6]);
  });

  test(`${device}: a model is read in one call, whatever its form, also by a function under jit`, async () => {
    const model = { layers: [{ w: variable(2), b: variable(1) }, { w: variable(3) }] as const };
    const [first, second] = model.layers;
    const optim = createOptimWrapper(
      jaxOptimizer(sgd({ lr: 1 }), { "0.w": first.w, "0.b": first.b, "1.w": second.w }),
    );
    type Arrays = { readonly layers: readonly [{ w: np.Array; b: np.Array }, { w: np.Array }] };
    // (2·x + 1)·3, at x = 5: gradients 15, 3 and 11
    const output = jit(({ layers: [one, two] }: Arrays, x: np.Array) =>
      one.w.mul(x).add(one.b).mul(two.w).sum(),
    );
    const x = array(5);
    const { loss } = optim.updateParams((at) => output(at(model) as Arrays, x.ref), { returnLoss: true });
    expect(await elementsOf(loss)).toEqual([33]);
    expect([await valuesOf(first.w), await valuesOf(first.b), await valuesOf(second.w)]).toEqual([
      [2 - 15],
      [1 - 3],
      [3 - 11],
    ]);
    x.dispose();
  });

  test(`${device}: what was made before a step does not see it, computed or not`, async () => {
    const given = array(1, 2);
    const early = given.ref.mul(2);
    const w = new Variable(given.ref);
    const read = w.read();
    const late = w.read().mul(10);
    const view = w.read().reshape([2, 1]);
    const optim = createOptimWrapper(jaxOptimizer(sgd({ lr: 0.5 }), { w }));
    // The loss is the parameter's own sum of squares: 1 + 4.
    const { loss } = optim.updateParams(squares(w), { returnLoss: true });
    // w − 0.5 · 2w = 0
    expect(await valuesOf(w)).toEqual([0, 0]);
    expect(await elementsOf(early)).toEqual([2, 4]);
    expect(await elementsOf(given)).toEqual([1, 2]);
    expect(await elementsOf(read)).toEqual([1, 2]);
    expect(await elementsOf(late)).toEqual([10, 20]);
    expect(await elementsOf(view)).toEqual([1, 2]);
    expect(await elementsOf(loss)).toEqual([5]);
    expect(await elementsOf(w.read().mul(10))).toEqual([0, 0]);
  });

  test(`${device}: a loss that is a parameter itself keeps its value too`, async () => {
    const w = new Variable(arrayOf(Float32Array.of(3), [], device));
    const optim = createOptimWrapper(jaxOptimizer(sgd({ lr: 1 }), { w }));
    const losses = [1, 2].map(() => optim.updateParams((at) => at(w), { returnLoss: true }).loss);
    expect(await Promise.all(losses.map(elementsOf))).toEqual([[3], [2]]);
    expect(await valuesOf(w)).toEqual([1]);
  });

  test(`${device}: variables of another optimizer, and frozen ones, are constants to a loss`, async () => {
    const [ours, theirs, frozen] = [variable(2), variable(3), variable(5)];
    const optimizer = jaxOptimizer(sgd({ lr: 1 }), { ours, frozen });
    const other = createOptimWrapper(jaxOptimizer(sgd({ lr: 0.5 }), { theirs }));
    optimizer.freeze(["frozen"]);
    const product: JaxLoss = (at) => at(ours).mul(at(theirs)).mul(at(frozen)).sum();
    optimizer.backward(product);
    // theirs · frozen
    expect(await optimizer.readGradients()).toEqual({ ours: Float32Array.of(15) });
    other.updateParams(product);
    // 3 − 0.5 · (2 · 5)
    expect(await valuesOf(theirs)).toEqual([-2]);
    optimizer.zeroGrad();
    optimizer.backward(product);
    expect(await optimizer.readGradients()).toEqual({ ours: Float32Array.of(-10) });
  });

  test(`${device}: two optimizers may share a variable`, async () => {
    const w = variable(1);
    const optims = [0.25, 0.5].map((lr) => createOptimWrapper(jaxOptimizer(sgd({ lr }), { w })));
    for (const optim of optims) optim.updateParams(squares(w));
    // 1 − 0.25 · 2 = 0.5; 0.5 − 0.5 · 1
    expect(await valuesOf(w)).toEqual([0]);
    for (const optim of optims) optim.dispose();
    expect(await valuesOf(w)).toEqual([0]);
  });

  test(`${device}: values that are assigned between two steps are those of the next`, async () => {
    const w = variable(1, 2);
    const optim = createOptimWrapper(jaxOptimizer(sgd({ lr: 0.25 }), { w }));
    optim.updateParams(squares(w));
    w.assign(array(8, 16));
    optim.updateParams(squares(w));
    // w − 0.25 · 2w
    expect(await valuesOf(w)).toEqual([4, 8]);
    optim.optimizer.writeParameters({ w: Float32Array.of(2, 4) });
    optim.updateParams(squares(w));
    expect(await valuesOf(w)).toEqual([1, 2]);
  });

  test(`${device}: gradients that are one array, or a parameter's own`, async () => {
    const [a, b] = [variable(1, 2), variable(3, 4)];
    const optimizer = jaxOptimizer(sgd(), { a, b });
    optimizer.backward((at) => at(a).add(at(b)).sum());
    optimizer.backward((at) => at(a).mul(at(b)).sum());
    // 1 + b, 1 + a
    expect(await optimizer.readGradients()).toEqual({ a: Float32Array.of(4, 5), b: Float32Array.of(2, 3) });
  });

  test.each([
    ["a vector", (at: np.Array) => at],
    ["whole numbers", (at: np.Array) => at.sum().astype(np.int32)],
    ["a promise", () => Promise.resolve() as never],
  ])(`${device}: a loss of %s is refused, and training goes on`, async (_, loss) => {
    const w = variable(1, 2);
    const optim = createOptimWrapper(jaxOptimizer(sgd({ lr: 0.5 }), { w }));
    expect(thrownBy(() => optim.updateParams((at) => loss(at(w)))).code).toBe("invalid-loss");
    optim.updateParams(squares(w));
    expect(await valuesOf(w)).toEqual([0, 0]);
  });

  test(`${device}: a closure that reads what is no variable is told so`, () => {
    const w = variable(1);
    const optimizer = jaxOptimizer(sgd(), { w });
    const { code, message } = thrownBy(() => optimizer.backward((at) => at({ w: 1 } as never)));
    expect(code).toBe("invalid-loss");
    expect(message).toMatch(/^loss closure: at: expected a Variable, or an object or array of them, got 1/);
  });

  test(`${device}: a loss that reads no parameter is refused`, () => {
    const [w, other] = [variable(1), variable(1)];
    const optimizer = jaxOptimizer(sgd(), { w });
    for (const loss of [squares(other), () => np.array(1, { device })] satisfies JaxLoss[]) {
      expect(thrownBy(() => optimizer.backward(loss)).code).toBe("no-gradient");
    }
  });

  test(`${device}: what is no live variable of this device is refused by name`, () => {
    const disposed = variable(1);
    disposed.dispose();
    disposed.dispose();
    for (const w of [disposed, np.array([1, 2]), undefined]) {
      const { code, message } = thrownBy(() => jaxOptimizer(sgd(), { ok: variable(1), w: w as Variable }));
      expect(code).toBe("invalid-parameter");
      expect(message).toMatch(/^jaxOptimizer: .*w/);
    }
    expect(thrownBy(() => disposed.read()).code).toBe("disposed");
    expect(thrownBy(() => disposed.assign(array(1))).code).toBe("disposed");
    const elsewhere = variableOf(device === "cpu" ? "wasm" : "cpu", 1);
    expect(thrownBy(() => jaxOptimizer(sgd(), { w: variable(1), elsewhere })).message).toMatch(
      new RegExp(`"elsewhere": expected a variable on ${device}`),
    );
  });

  test(`${device}: arrays that no variable can hold are refused`, () => {
    const freed = array(1);
    freed.dispose();
    const integers = np.array([1, 2], { dtype: np.int32, device });
    for (const given of [integers, freed, Float32Array.of(1)]) {
      expect(thrownBy(() => new Variable(given as np.Array)).code).toBe("invalid-parameter");
      expect(thrownBy(() => variable(1, 2).assign(given as np.Array)).code).toBe("invalid-parameter");
    }
    const { message } = thrownBy(() => variable(1, 2).assign(array(1)));
    expect(message).toMatch(
      new RegExp(`expected an array of shape \\[2\\] on ${device}, got "\\[1\\] on ${device}"`),
    );
  });

  test(`${device}: a variable that is disposed in mid-run is refused before anything changes`, async () => {
    const [w, gone] = [variable(1), variable(1)];
    const optimizer = jaxOptimizer(sgd({ lr: 1 }), { w, gone });
    optimizer.writeGradients({ w: Float32Array.of(1), gone: Float32Array.of(1) });
    gone.dispose();
    for (const call of [
      () => optimizer.step(),
      () => optimizer.backward(squares(w)),
      () => optimizer.writeParameters({ gone: Float32Array.of(1) }),
    ]) {
      const { code, message } = thrownBy(call);
      expect(code).toBe("invalid-parameter");
      expect(message).toMatch(/gone"?: expected a variable that was not disposed/);
    }
    expect(await valuesOf(w)).toEqual([1]);
  });

  test(`${device}: a loss under jit has the gradients of a closure, scaled, frozen and shared ones too`, async () => {
    const model = { layers: [{ w: variable(2, 3) }] as const, bias: variable(1), tied: variable(4) };
    const { layers, bias, tied } = model;
    const both = { first: model, second: tied };
    const run = ({ first, second }: ArraysOf<typeof both>, x: np.Array, { y }: { y: np.Array }): np.Array => {
      const error = first.layers[0].w.mul(x).add(first.bias).mul(first.tied).mul(second).sub(y);
      return error.ref.mul(error).sum();
    };
    const loss = jitLoss(run);
    const [x, y] = [array(5, 6), array(7, 8)];
    const optimizer = jaxOptimizer(sgd(), { w: layers[0].w, bias, tied });
    const compare = async (): Promise<void> => {
      const found = [];
      for (const one of [loss(both, x, { y }), (at: ReadVariables) => run(at(both), x.ref, { y: y.ref })]) {
        const value = optimizer.backward(one, { scale: 0.5, returnLoss: true }) as np.Array;
        found.push({ value: await elementsOf(value), gradients: await optimizer.readGradients() });
        optimizer.zeroGrad();
      }
      const [jitted, plain] = found;
      expect(jitted).toEqual(plain);
      expect(Object.keys(jitted?.gradients ?? {})).toEqual(
        ["w", "bias", "tied"].filter((name) => !frozen.includes(name)),
      );
    };
    const frozen: string[] = [];
    await compare();
    frozen.push("bias");
    optimizer.freeze(["bias"]);
    await compare();
    optimizer.unfreeze(["bias"]);
    optimizer.freeze(["w"]);
    frozen.splice(0, 1, "w");
    await compare();
    // Arguments stay the caller's.
    expect([x.refCount, y.refCount]).toEqual([1, 1]);
  });

  test(`${device}: a loss under jit that is none, or throws, leaves nothing behind`, () => {
    const w = variable(1, 2);
    const optimizer = jaxOptimizer(sgd(), { w });
    const x = array(1, 2);
    const vector = jitLoss((v: np.Array, y: np.Array) => v.mul(y));
    expect(thrownBy(() => optimizer.backward(vector(w, x))).code).toBe("invalid-loss");
    const throwing = jitLoss((v: np.Array, y: np.Array): np.Array => {
      v.mul(y).sum();
      throw new Error("from the loss");
    });
    expect(() => optimizer.backward(throwing(w, x))).toThrow("from the loss");
    const constant = jitLoss((v: np.Array) => v.sum());
    expect(thrownBy(() => optimizer.backward(constant(variable(1)))).code).toBe("no-gradient");
    expect(x.refCount).toBe(1);
  });
}
