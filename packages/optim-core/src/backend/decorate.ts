import type { AnyOptimizer } from "../optimizer.ts";

const waiting = ["readMetrics", "stateDict", "readSlots", "readGradients", "readParameters"] as const;

const calls = [
  "addParamGroup",
  "backward",
  "context",
  "step",
  "zeroGrad",
  "swapIn",
  "freeze",
  "unfreeze",
  "prepareLoad",
  "createLossScaler",
  "readGradientsSync",
  "writeGradients",
  "writeParameters",
  "dispose",
] as const;

/**
 * An optimizer that does some things in another way than the one it stands around. `members` take the place of those of `inner`; everything
 * else, getters and members of later versions too, is `inner`'s. It owns `inner` from here.
 *
 * @param members may call `inner`; what they leave to it they call themselves
 * @param before runs first in every call that is no getter, those of `members` too, with the name of the call. Its error is thrown,
 * or rejected where the call waits.
 *
 * @example
 * ```ts
 * // Counts steps.
 * const counted = decorateOptimizer(inner, {
 *   step(options) {
 *     const stepped = inner.step(options);
 *     if (stepped) count += 1;
 *     return stepped;
 *   },
 * });
 * ```
 */
export function decorateOptimizer<O extends AnyOptimizer>(
  inner: O,
  members: Partial<O>,
  before?: (call: string) => void,
): O {
  const own: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(members);
  if (before !== undefined) guardAll(inner, members, before, own);
  return Object.create(inner, own) as O;
}

type Call = (...given: readonly unknown[]) => unknown;

function guardAll(
  inner: AnyOptimizer,
  members: object,
  before: (call: string) => void,
  own: PropertyDescriptorMap,
): void {
  type Calls = { readonly [name: string]: Call | undefined };
  const callOf = (name: string): Call | undefined =>
    (members as Calls)[name] ?? (inner as unknown as Calls)[name]?.bind(inner);
  for (const name of calls) {
    const call = callOf(name);
    if (call === undefined) continue;
    own[name] = {
      value: (...given: readonly unknown[]) => {
        before(name === "context" ? "optimContext" : name);
        return call(...given);
      },
    };
  }
  for (const name of waiting) {
    const call = callOf(name);
    own[name] = {
      value: async (...given: readonly unknown[]) => {
        before(name);
        return call?.(...given);
      },
    };
  }
  own["guard"] = {
    value: (call: string) => {
      before(call);
      inner.guard(call);
    },
  };
}
