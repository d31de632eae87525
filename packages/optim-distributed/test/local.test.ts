// Ranks in one thread.
import { createOptimWrapper, isOptimError } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { localCommunicators } from "@mm/optim-distributed/testing";
import { type Communicator, distributed } from "@mm/optim-distributed";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { exchange, expected, refusals } from "./cases/exchanges.ts";

const codesOf = async (calls: readonly Promise<unknown>[]): Promise<readonly unknown[]> =>
  (await Promise.allSettled(calls)).map(
    (call) => call.status === "rejected" && isOptimError(call.reason) && call.reason.code,
  );

describe.each([1, 2, 3])("%d ranks in one thread", (size) => {
  test("sum, copy, gather and transpose", async () => {
    const results = await Promise.all(localCommunicators(size).map(exchange));
    expect(results).toEqual(results.map((_, rank) => expected(rank, size, false)));
  });

  test("refuse buffers that they cannot send, and stay usable", async () => {
    const [first] = await Promise.all(localCommunicators(size).map(refusals));
    expect(first).toEqual(Array.from({ length: 6 }, () => "invalid-option"));
  });
});

test("sums are in the order of ranks, whoever comes first", async () => {
  // (1e8 + -1e8) + 1 is 1; (1e8 + 1) + -1e8 is 0 in float32.
  const terms = [1e8, -1e8, 1];
  const ranks = localCommunicators(3);
  const buffers = terms.map((term) => new Float32Array([term]));
  await Promise.all(
    [2, 0, 1].map((rank) => (ranks[rank] as Communicator).allReduce(buffers[rank] as Float32Array)),
  );
  expect(buffers.map(([sum]) => sum)).toEqual([1, 1, 1]);
});

test("ranks that do different things are refused, all of them, and so is every later call", async () => {
  const [first, second, third] = localCommunicators(3);
  const calls = [
    first?.allReduce(new Float32Array(2)),
    second?.allReduce(new Float32Array(3)),
    third?.allReduce(new Float32Array(2)),
  ] as Promise<void>[];
  const [error] = await Promise.allSettled(calls);
  expect(error).toMatchObject({ reason: { code: "communication-mismatch", ranks: [1] } });
  expect(await codesOf([...calls, first?.allReduce(new Float32Array(2)) as Promise<void>])).toEqual(
    Array.from({ length: 4 }, () => "communication-mismatch"),
  );
});

test("a rank that does not come is waited for so long, and named", async () => {
  const [first] = localCommunicators(2, { timeoutMs: 20 });
  await expect(first?.allReduce(new Float32Array(1))).rejects.toMatchObject({
    code: "communication-timeout",
    message:
      'rank 0: allReduce of 1 Float32Array: expected all ranks within 20 ms (timeoutMs), got "none of rank 1"',
  });
});

test("a rank that closes or aborts leaves nobody waiting", async () => {
  const closing = localCommunicators(2);
  const waiting = closing[0]?.allReduce(new Float32Array(1)) as Promise<void>;
  closing[1]?.close();
  expect(await codesOf([waiting])).toEqual(["communication-error"]);
  expect(await codesOf([closing[1]?.allReduce(new Float32Array(1)) as Promise<void>])).toEqual(["disposed"]);

  const aborting = localCommunicators(2);
  const duplicate = aborting[0]?.duplicate();
  const call = duplicate?.allReduce(new Float32Array(1)) as Promise<void>;
  aborting[1]?.abort(3);
  await expect(call).rejects.toMatchObject({
    code: "communication-error",
    received: "rank 1 aborted it with exit code 3",
  });
});

test("distributed refuses them, since it cannot wait on them", () => {
  const [communicator] = localCommunicators(1);
  const optimizer = wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) });
  expect(() => distributed(optimizer, communicator as never)).toThrow(
    expect.objectContaining({ code: "unsupported" }),
  );
  // The optimizer is as it was: it can be wrapped.
  createOptimWrapper(optimizer).dispose();
});

test("options are refused at once", () => {
  expect(() => localCommunicators(0)).toThrow(expect.objectContaining({ code: "invalid-option" }));
  expect(() => localCommunicators(1, { timeoutMs: -1 })).toThrow(
    expect.objectContaining({ code: "invalid-option" }),
  );
  expect(() => localCommunicators(1, { timeout: 1 } as never)).toThrow(
    expect.objectContaining({ code: "unknown-option" }),
  );
});

test("a group that another rank does not add is not added here", () => {
  let agrees = true;
  // The other of two ranks: it says what we say, or something else.
  const communicator: Communicator = {
    kind: "communicator",
    rank: 0,
    size: 2,
    allReduce: (buffer) => Promise.resolve(communicator.allReduceSync?.(buffer)),
    allReduceSync(buffer) {
      const half = buffer.length / 2;
      buffer.set(buffer.subarray(0, half), half);
      if (!agrees) buffer[half + 1] = (buffer[half + 1] as number) ^ 1;
    },
    broadcast: () => Promise.resolve(),
    duplicate: () => communicator,
    abort: () => {},
    close: () => {},
  };
  const optimizer = distributed(wasmOptimizer(sgd(), { w: new Float32Array(1) }), communicator);
  const group = { name: "late", params: { v: new Float32Array(2) }, lr: 0.5 };
  agrees = false;
  expect(thrownBy(() => optimizer.addParamGroup(group)).code).toBe("communication-mismatch");
  expect(optimizer.parameters.map(({ name }) => name)).toEqual(["w"]);
  agrees = true;
  optimizer.addParamGroup(group);
  expect(optimizer.parameters.map(({ name }) => name)).toEqual(["w", "v"]);
  optimizer.dispose();
});
