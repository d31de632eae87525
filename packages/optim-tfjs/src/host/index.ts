/** For another backend that works on tfjs variables: differentiation, and what callers write for parameters. For backend authors. */
export { differentiate, type Seed, type TfjsLoss } from "../gradients.ts";
export { isNativeOptimizer } from "../native.ts";
export { checkedOptions } from "../options.ts";
export { checkAlive, describeVariable, namedVariables, namesAndFlags } from "../parameters.ts";
export { scoped } from "../scope.ts";
export { createVariableOptimizer } from "../variable-optimizer.ts";
