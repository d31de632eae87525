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

const batchOfMatrices = (shapes: readonly (readonly number[])[]): string | undefined =>
  shapes.some(({ length }) => length === 3) ? "a batch of matrices" : undefined;

/** Options whose formula no rule of ours has: when they are on, by class. */
const withoutCounterpart: {
  readonly [type: string]: (o: TorchOptions, shapes: readonly (readonly number[])[]) => string | undefined;
} = {
  "prodigyopt:Prodigy": (o) =>
    Number(o["slice_p"] ?? 1) !== 1
      ? "slice_p"
      : o["lr"] === 0
        ? "a group with lr 0, which goes on by the others' rate"
        : undefined,
  "timm.optim.lamb:Lamb": (o) => (o["caution"] ? "caution before the trust ratio" : undefined),
  "timm.optim.adan:Adan": (o) => (o["caution"] ? "caution of the first average alone" : undefined),
  "timm.optim.lars:Lars": (o) => (o["dampening"] ? "dampening" : undefined),
  "timm.optim.adabelief:AdaBelief": (o) =>
    o["fixed_decay"] || o["degenerated_to_sgd"] === false
      ? "fixed_decay, degenerated_to_sgd: false"
      : undefined,
  "timm.optim.adopt:Adopt": (o) =>
    o["caution"] && o["weight_decay"] && !o["decoupled"] ? "caution after an L2 penalty" : undefined,
  "keller_muon:SingleDeviceMuon": (_, shapes) => batchOfMatrices(shapes),
  "keller_muon:SingleDeviceMuonWithAuxAdam": (o, shapes) =>
    o["use_muon"] === true ? batchOfMatrices(shapes) : undefined,
  "c_muon:SingleDeviceMuon": (_, shapes) => batchOfMatrices(shapes),
  "timm.optim.muon:Muon": (o, shapes) =>
    o["conv_mode"] === "batched" && shapes.some(({ length }) => length > 2)
      ? "a batch of matrices"
      : undefined,
};

/** Classes that take a tensor of more than two dimensions for a batch of matrices, its last two dimensions; our rules for one matrix. */
const batching: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "torch_main:Adafactor",
  "hf_adafactor:Adafactor",
  "came_pytorch:CAME",
]);

/** Whether the authors take a tensor for several matrices. It is then left out of a case, whose other tensors are followed. */
export function isBatch(type: string, shape: readonly number[]): boolean {
  return batching.has(type) && shape.length > 2;
}

/** Why a case is not run; `undefined` where it is. */
export function reasonToSkip({ optimizer: { type, args }, groups, init }: ModernCase): string | undefined {
  const because = (words: string): string => `${type}: ${words} (${decision})`;
  if (leftOut.has(type)) return because("left out");
  if (type.includes(":") && type !== "sam:SAM" && !Object.hasOwn(translations, type))
    return because("not a rule yet");
  for (const { options = {}, params } of groups) {
    const all = { ...args, ...options };
    const shapes = params.map((name) => init[name]?.shape ?? []);
    const words =
      withoutCounterpart[type]?.(all, shapes) ??
      (all["corrected_weight_decay"] ? "corrected_weight_decay" : undefined);
    if (words !== undefined) return because(words);
  }
  return undefined;
}
