/** The name that error messages begin with. */
export const dictName = "OptimWrapperDict";

export const list = (items: Iterable<string | number>): string => [...items].join(", ");
