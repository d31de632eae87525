import { expect, test, vi } from "vitest";

test("the program learns to tell irises apart", async () => {
  const print = vi.spyOn(console, "log").mockImplementation(() => {});
  await import("../src/main.ts");
  const lines = print.mock.calls.map(([line]) => String(line));
  print.mockRestore();
  const losses = lines.flatMap((line) => /loss (\S+),/.exec(line)?.[1] ?? []).map(Number);
  expect(losses).toHaveLength(6);
  expect(losses).toEqual([...losses].sort((a, b) => b - a));
  // One in three by chance.
  expect(Number.parseFloat(lines.at(-1) ?? "")).toBeGreaterThan(90);
});
