import { expect, test } from "vitest";
import { decodePlain, encodePlain } from "../src/plain-data.ts";

test("plain data comes back to the bit, with its tensors", () => {
  const value = {
    text: "x",
    numbers: [1, -0, 0.1, Infinity, -Infinity, NaN, 5e-324, 1e21],
    nothing: null,
    yes: true,
    tensors: [new Float32Array([1, 2]), { deep: new Float32Array([-0, NaN]) }, new Float32Array(0)],
    ["__proto__"]: ["array", "tensor", 0],
  };
  const { text, tensors } = encodePlain(value);
  const numbers = new Float32Array(tensors.flatMap((tensor) => [...tensor]));
  const decoded = decodePlain(text, numbers) as typeof value;
  expect(decoded).toEqual(value);
  expect(Object.is(decoded.numbers[1], -0)).toBe(true);
});
