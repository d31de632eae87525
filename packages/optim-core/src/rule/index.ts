export type { BaseHyperparameters, HyperparameterRecord, HyperparameterValue } from "../hyperparameters.ts";
export * from "./define.ts";
export * from "./expression.ts";
