import { expect, test } from "vitest";
import { fromBfloat16, toBfloat16 } from "@mm/optim-core/backend";

function rounded(values: readonly number[]): number[] {
  const from = new Float32Array(values);
  const half = new Uint16Array(from.length);
  toBfloat16(from, half);
  const to = new Float32Array(from.length);
  fromBfloat16(half, to);
  return [...to];
}

test("numbers of 8 significant bits stay what they are", () => {
  const exact = [0, -0, 1, -1.5, 255, 256, 2 ** 127, 2 ** -126, 0.99609375];
  expect(rounded(exact)).toEqual(exact);
});

test("others go to the nearest, ties to the even one", () => {
  // Between 1 and 1 + 1/128 the middle is 1 + 1/256: even is 1. Between 1 + 1/128 and 1 + 2/128 it is the upper one.
  expect(rounded([1 + 1 / 256, 1 + 3 / 256, 1 + 1 / 256 + 2 ** -20])).toEqual([1, 1 + 2 / 128, 1 + 1 / 128]);
  expect(rounded([-257])).toEqual([-256]);
  expect(rounded([-259])).toEqual([-260]);
});

test("infinities and NaN stay, and what is too large becomes infinite", () => {
  expect(rounded([Infinity, -Infinity, 3.4028234e38])).toEqual([Infinity, -Infinity, Infinity]);
  expect(rounded([NaN])).toEqual([NaN]);
  // A NaN whose only bits are in the half that is cut off.
  const bits = new Uint32Array([0x7f800001]);
  const half = new Uint16Array(1);
  toBfloat16(new Float32Array(bits.buffer), half);
  expect(half[0]).toBe(0x7fc0);
});
