export * from "./adam.ts";
export * from "./adamw.ts";
export * from "./sgd.ts";
