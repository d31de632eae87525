import { OptimError, type OptimErrorCode, type OptimErrorDetails } from "@mm/optim-core";

export const dictName = "OptimWrapperDict";

export function refuse(
  code: OptimErrorCode,
  who: string,
  expected: string,
  received: unknown,
  lists?: OptimErrorDetails,
): never {
  throw new OptimError(code, who, { expected, received, ...lists });
}

export const list = (items: Iterable<string | number>): string => [...items].join(", ");
