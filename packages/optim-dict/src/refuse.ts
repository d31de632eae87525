import { OptimError, type OptimErrorCode, type OptimErrorDetails } from "@mm/optim-core";

/** `where` goes on after the name of the class: `": generator"`, `".step"`. */
export function refuse(
  code: OptimErrorCode,
  where: string,
  expected: string,
  received: unknown,
  details?: OptimErrorDetails,
): never {
  throw new OptimError(code, `OptimWrapperDict${where}`, { expected, received, ...details });
}

export const list = (items: Iterable<string | number>): string => [...items].join(", ");
