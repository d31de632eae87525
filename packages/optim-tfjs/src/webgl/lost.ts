import { OptimError } from "@mm/optim-core";
import * as tf from "@tensorflow/tfjs-core";
import type { OpsEngine } from "../ops/ops-engine.ts";

interface ContextHost {
  readonly gpgpu?: { readonly gl?: { isContextLost?(): boolean; readonly canvas?: EventTarget } };
}

/**
 * The engine, where tfjs-webgl is active: calls throw and reads reject when the context is lost. Without that all of tfjs goes on
 * without a word, reads give zeros, and `data()` never settles. Other backends get their engine back as it is.
 */
export function guardContext(engine: OpsEngine, backend: object): OpsEngine {
  const context = watch(backend);
  if (context === undefined) return engine;
  const { stages, readNorms } = engine;
  return {
    ...engine,
    differentiate(loss, request) {
      context.require("backward");
      return engine.differentiate(loss, request);
    },
    read: (cells) => context.read("read", () => engine.read(cells)),
    ...(readNorms && {
      readNorms: (cells) => context.read("readMetrics", () => readNorms.call(engine, cells)),
    }),
    readParameters: (parameters) => context.read("readParameters", () => engine.readParameters(parameters)),
    readScalars: (scalars) => context.read("stateDict", () => engine.readScalars(scalars)),
    stages: {
      check(items, request) {
        context.require("step");
        return stages.check(items, request);
      },
      unscale: (...given) => stages.unscale(...given),
      clip: (...given) => stages.clip(...given),
      update: (...given) => stages.update(...given),
      run(items) {
        context.require("evaluation point");
        stages.run(items);
      },
      readMetrics: () => context.read("readMetrics", () => stages.readMetrics()),
      writeCounts: (counts) => stages.writeCounts(counts),
    },
    dispose() {
      context.dispose();
      engine.dispose?.();
    },
  };
}

/** Scalars of a loss scaler, read on the backend that is active: rejects when its context is lost. */
export async function readOnContext<T>(call: string, run: () => Promise<T>): Promise<T> {
  const context = watch(tf.backend());
  if (context === undefined) return run();
  try {
    return await context.read(call, run);
  } finally {
    context.dispose();
  }
}

interface Context {
  /** @throws OptimError `device-lost` */
  require(call: string): void;
  /** Rejects with `device-lost` when the context is lost before `run` ends. */
  read<T>(call: string, run: () => Promise<T>): Promise<T>;
  dispose(): void;
}

function watch(backend: object): Context | undefined {
  const { gl } = (backend as ContextHost).gpgpu ?? {};
  const canvas = gl?.canvas;
  if (typeof gl?.isContextLost !== "function" || typeof canvas?.addEventListener !== "function")
    return undefined;
  const waiting = new Set<() => void>();
  const tell = (): void => {
    for (const reject of waiting) reject();
  };
  canvas.addEventListener("webglcontextlost", tell);
  // Data that another backend has taken over meanwhile are not lost.
  const isLost = (): boolean => (tf.backend() as object) === backend && gl.isContextLost?.() === true;
  const require = (call: string): void => {
    if (isLost()) throw lost(call);
  };
  return {
    require,
    async read(call, run) {
      require(call);
      let reject = (): void => {};
      const end = new Promise<never>((_, refuse) => {
        reject = () => refuse(lost(call));
      });
      waiting.add(reject);
      try {
        return await Promise.race([run(), end]);
      } finally {
        waiting.delete(reject);
      }
    },
    dispose() {
      canvas.removeEventListener("webglcontextlost", tell);
      // Nobody would tell those that still wait.
      if (gl.isContextLost?.() === true) tell();
    },
  };
}

function lost(call: string): OptimError {
  return new OptimError("device-lost", call, {
    expected: "a WebGL context that is alive",
    hint: "Parameters and state on it are gone. Make the backend, the variables and the optimizer anew, and load the last saved state",
  });
}
