export * from "./define.ts";
export * from "./expression.ts";
