import type { TorchOptions } from "../format.ts";
import type { ModernCase } from "./format.ts";
import { translations } from "./translate.ts";

/** The record below docs/decisions that names them all. */
const decision = "0080-recordings-of-other-libraries";

/** Classes that are left out for good. */
const leftOut: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "madgrad:MADGRAD",
  "timm.optim.madgrad:MADGRAD",
  "sophia:SophiaG",
  "dadaptation:DAdaptAdaGrad",
  "dadaptation:DAdaptAdan",
  "dadaptation:DAdaptLion",
]);

/** Options whose formula no rule of ours has: when they are on, by class. */
const withoutCounterpart: {
  readonly [type: string]: (o: TorchOptions) => string | undefined;
} = {
  "timm.optim.lamb:Lamb": (o) => (o["caution"] ? "caution before the trust ratio" : undefined),
  "timm.optim.adan:Adan": (o) => (o["caution"] ? "caution of the first average alone" : undefined),
  "timm.optim.lars:Lars": (o) => (o["dampening"] ? "dampening" : undefined),
  "timm.optim.adabelief:AdaBelief": (o) =>
    o["fixed_decay"] || o["degenerated_to_sgd"] === false
      ? "fixed_decay, degenerated_to_sgd: false"
      : undefined,
  "timm.optim.adopt:Adopt": (o) =>
    o["caution"] && o["weight_decay"] && !o["decoupled"] ? "caution after an L2 penalty" : undefined,
  "mars_author:MARS": (o) => (o["mars_type"] === "mars-shampoo" ? "matrix products" : undefined),
};

/** Why a case is not run; `undefined` where it is. */
export function reasonToSkip({ optimizer: { type, args }, groups, special }: ModernCase): string | undefined {
  const because = (words: string): string => `${type}: ${words} (${decision})`;
  if (leftOut.has(type)) return because("left out");
  if (special === "agc") return because("no clipping by unit yet");
  if (
    special === "sam" &&
    [args, ...groups.map(({ options }) => options)].some((o) => o?.["adaptive"] === true)
  )
    return because("no adaptive ascent yet");
  if (type.includes(":") && type !== "sam:SAM" && !Object.hasOwn(translations, type))
    return because("not a rule yet");
  for (const { options = {} } of groups) {
    const all = { ...args, ...options };
    const words =
      withoutCounterpart[type]?.(all) ??
      (all["corrected_weight_decay"] ? "corrected_weight_decay" : undefined);
    if (words !== undefined) return because(words);
  }
  return undefined;
}
