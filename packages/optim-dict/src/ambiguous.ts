import { list, refuse } from "./refuse.ts";

/**
 * No value has this type: it is the message that TypeScript prints where a dict is called like a wrapper, because a dict cannot know
 * which of its wrappers is meant.
 */
export type CallOneWrapper<Method extends string> = `call one wrapper: optim.get(name).${Method}(…)`;

/** What callers meet whom types do not reach. @throws OptimError `ambiguous-wrapper` */
export function refuseAmbiguous(dict: unknown, method: string): never {
  const names = (dict as ReadonlyMap<string, unknown>).keys();
  return refuse("ambiguous-wrapper", `.${method}`, `get(name).${method}(), one of ${list(names)}`, dict);
}
