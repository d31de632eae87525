export * from "./accumulate.ts";
export * from "./check.ts";
export * from "./layout.ts";
export * from "./norms.ts";
export * from "./prepare.ts";
export * from "./scalars.ts";
export * from "./seed.ts";
export type { KernelSource } from "./source.ts";
export * from "./update.ts";
