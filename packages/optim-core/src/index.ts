export * from "./capabilities.ts";
export { createAmpOptimWrapper, createOptimWrapper } from "./create-optim-wrapper.ts";
export * from "./errors.ts";
export * from "./hyperparameters.ts";
export * from "./loss-scaler.ts";
export * from "./optim-wrapper.ts";
export * from "./optimizer.ts";
export * from "./options.ts";
export * from "./state.ts";
