import { expect, test } from "vitest";
import { Device } from "../src/device.ts";
import { layOut, Planes } from "../src/storage.ts";
import { openDevice } from "./support/node.ts";
import { readFloats } from "./support/read.ts";

const float32 = (length: number) => ({ length, dtype: "float32" }) as const;

test("vectors begin where bindings may begin, and no chunk is larger than a binding", () => {
  // 64 elements are 256 bytes, and 1,024 bytes a chunk.
  const places = layOut([1, 64, 65, 0, 256, 1].map(float32), 4, 1024);
  expect(places.map(({ chunk, start, room }) => [chunk, start, room])).toEqual([
    [0, 0, 64],
    [0, 64, 64],
    [0, 128, 128],
    [1, 0, 64],
    [2, 0, 256],
    [3, 0, 64],
  ]);
});

test("those of float16 begin where a plane of either size may be bound", () => {
  const vectors = [float32(1), { length: 3, dtype: "float16" } as const, float32(1)];
  const places = layOut(vectors, 4, 4096, 7);
  // 128 elements are 256 bytes of float16.
  expect(places.map(({ chunk, start, room }) => [chunk, start, room])).toEqual([
    [7, 0, 64],
    [7, 128, 128],
    [7, 256, 64],
  ]);
});

test("a vector begins with its initial value, also where another one was", async () => {
  const device = await openDevice();
  const planes = new Planes(new Device(device, "test"));
  planes.reserve([
    { name: "a", ...float32(2) },
    { name: "b", ...float32(3) },
  ]);
  const [a, b] = [planes.allocate("a", 7), planes.allocate("b", 0)];
  planes.write(b, Float32Array.of(1, 2, 3));
  planes.release(b);
  const again = planes.allocate("b", 0);
  expect(again.binding).toEqual(b.binding);
  expect(await readFloats(device, again.binding)).toEqual(new Float32Array(3));
  expect(await readFloats(device, a.binding)).toEqual(Float32Array.of(7, 7));
  // The padding between them.
  expect(await readFloats(device, { buffer: a.buffer, offset: 8, size: 248 })).toEqual(new Float32Array(62));
  const second = planes.allocate("a", 0);
  expect(second.buffer).not.toBe(a.buffer);
  planes.dispose();
});
