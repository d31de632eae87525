import { createOptimWrapper, isOptimError } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { webgl } from "./webgl-support.ts";

const codeOf = (read: PromiseSettledResult<unknown>): unknown =>
  read.status === "rejected" && isOptimError(read.reason) && read.reason.code;

/**
 * When the context is lost, reads that wait for it reject, and so does everything after. The context of the page is gone then: no other test
 * can stand in its file.
 *
 * @param start makes tfjs-webgl the backend
 */
export function testLostContext(start: () => Promise<unknown>): void {
  test("when the context is lost, reads that wait for it reject, and so does everything after", async () => {
    await start();
    const w = tf.variable(tf.ones([300, 200]));
    const variables = [w, tf.variable(tf.ones([3]))];
    const make = (lowering: "auto" | "ops", index: number) =>
      createOptimWrapper(tfjsOptimizer(adam(), { w: variables[index]! }, { lowering }), {
        lossScale: "dynamic",
      });
    const wrappers = [make("auto", 0), make("ops", 1)];
    const updates = wrappers.map((wrapper, index) => () => {
      wrapper.updateParams(() => tf.sum(tf.square(variables[index]!)));
    });
    for (const update of updates) update();
    await wrappers[0]!.readMetrics();
    const halfway = [make("auto", 0), make("ops", 1)];
    for (const [index, wrapper] of halfway.entries())
      wrapper.backward(() => tf.sum(tf.square(variables[index]!)));
    for (const update of updates) update();
    const waiting = wrappers.flatMap((wrapper) => [
      wrapper.stateDict(),
      wrapper.readMetrics(),
      wrapper.optimizer.readParameters(),
    ]);
    const lost = new Promise((resolve) => {
      webgl().gpgpu.gl.canvas.addEventListener("webglcontextlost", resolve);
    });
    webgl().gpgpu.gl.getExtension("WEBGL_lose_context")!.loseContext();
    for (const update of updates) expect(update).toThrow(expect.objectContaining({ code: "device-lost" }));
    for (const wrapper of halfway)
      expect(() => wrapper.step()).toThrow(expect.objectContaining({ code: "device-lost" }));
    waiting.push(...wrappers.map((wrapper) => wrapper.readMetrics()));
    const settled = await Promise.allSettled(waiting);
    await lost;
    expect(settled.map(codeOf)).toEqual(settled.map(() => "device-lost"));
    for (const wrapper of [...wrappers, ...halfway]) wrapper.dispose();
  });
}
