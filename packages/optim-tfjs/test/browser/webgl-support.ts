import "@tensorflow/tfjs-backend-webgl";
import * as tf from "@tensorflow/tfjs-core";
import { afterEach, vi } from "vitest";

/** The parts of tfjs-webgl that tests look at. */
export interface WebglParts extends tf.KernelBackend {
  readonly gpgpu: { readonly gl: WebGL2RenderingContext };
}

export const webgl = (): WebglParts => tf.backend() as WebglParts;

export const { sizeFromShape } = tf.util;

const restored: (() => void)[] = [];
afterEach(() => {
  for (const restore of restored.splice(0)) restore();
});

/** Puts a value in the place of a property for the rest of the test. */
export function replace(host: object, name: string, value: unknown): void {
  const before = Object.getOwnPropertyDescriptor(host, name);
  Object.defineProperty(host, name, { value, configurable: true, writable: true });
  restored.push(() => {
    if (before === undefined) Reflect.deleteProperty(host, name);
    else Object.defineProperty(host, name, before);
  });
}

const counted = {
  draws: ["drawArrays", "drawElements"],
  links: ["linkProgram"],
  uploads: ["texSubImage2D", "texImage2D", "bufferSubData"],
  allocations: ["texStorage2D", "createTexture", "createFramebuffer", "createBuffer"],
  reads: ["readPixels", "fenceSync"],
} as const;

export type Calls = { -readonly [K in keyof typeof counted]: number };

/** The calls that `run` makes on the context. */
export function glCalls(run: () => void): Calls {
  const { gl } = webgl().gpgpu;
  const spies = Object.entries(counted).map(
    ([kind, names]) => [kind, names.map((name) => vi.spyOn(gl, name))] as const,
  );
  try {
    run();
    return Object.fromEntries(
      spies.map(([kind, each]) => [kind, each.reduce((sum, { mock }) => sum + mock.calls.length, 0)]),
    ) as Calls;
  } finally {
    for (const [, each] of spies) for (const spy of each) spy.mockRestore();
  }
}
