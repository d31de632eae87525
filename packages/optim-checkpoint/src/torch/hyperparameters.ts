import type { HyperparameterRecord, HyperparameterValue } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { camelCase, type TorchOptions } from "./format.ts";

/** Entries of a group of PyTorch's that have no bearing on its numbers. */
const withoutBearing: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "params",
  // The names that the parameters have there.
  "param_names",
  // Choices of an implementation.
  "foreach",
  "capturable",
  "differentiable",
  "fused",
  // Schedulers write what they need later into the groups: OneCycleLR, CyclicLR, SWALR; whatever begins with `initial_`, all of them.
  "max_lr",
  "min_lr",
  "swa_lr",
  "max_momentum",
  "base_momentum",
]);

const hasBearing = (name: string): boolean => !withoutBearing.has(name) && !name.startsWith("initial_");

/** The rule that a group follows here, and the hyperparameters that it has. */
export interface Followed {
  readonly rule: string;
  readonly values: HyperparameterRecord;
}

/**
 * PyTorch's options under our names. One that the rule does not have is dropped where it is switched off, and otherwise kept, for the load
 * to report; a switch of the rule that an older PyTorch did not have is off.
 *
 * @throws OptimError `state-mismatch` for decoupled weight decay, where the rule's is not, and for a group of Muon's that follows another rule
 */
export function torchHyperparameters(
  { decoupled_weight_decay: decoupled, use_muon: byMuon, ...options }: TorchOptions,
  { rule, values: defaults }: Followed,
): HyperparameterRecord {
  // Keller Jordan's has no switch for Nesterov's momentum, which is always on.
  const implied = byMuon === true && options["nesterov"] === undefined ? { nesterov: true } : {};
  requireMuon(byMuon, rule);
  const known = { ...options, ...implied, ...decoupling(decoupled, options, defaults, rule) };
  const found = Object.entries(known)
    .filter(([name]) => hasBearing(name) || Object.hasOwn(defaults, camelCase(name)))
    .map(([name, value]) => [camelCase(name), value as HyperparameterValue] as const)
    .filter(([name, value]) => Object.hasOwn(defaults, name) || Boolean(value));
  const off = Object.entries(defaults).flatMap(([name, value]) =>
    typeof value === "boolean" ? [[name, false] as const] : [],
  );
  return Object.fromEntries([...off, ...found]);
}

/** One optimizer has Muon for some groups and Adam for the others there. */
function requireMuon(byMuon: unknown, rule: string): void {
  if (typeof byMuon !== "boolean" || byMuon === /Muon/.test(rule)) return;
  const expected = byMuon ? "Muon for a group with use_muon" : "another rule than Muon without use_muon";
  refuse("state-mismatch", "decodeTorchState: use_muon", expected, rule, {
    hint: "Give its parameters a group with another rule: { params, rule: muon() }",
  });
}

/** Since PyTorch 2.7 AdamW is Adam with this switch, and every AdamW has it on. Here they are two rules. */
function decoupling(
  decoupled: unknown,
  { weight_decay: weightDecay }: TorchOptions,
  defaults: HyperparameterRecord,
  rule: string,
): TorchOptions {
  if (Object.hasOwn(defaults, "decoupledWeightDecay"))
    return decoupled === undefined ? {} : { decoupled_weight_decay: decoupled };
  // Without weight decay there is no difference. The rule may be within another: cautious(AdamW).
  if (decoupled === true && Boolean(weightDecay) && !rule.includes("AdamW")) {
    refuse(
      "state-mismatch",
      "decodeTorchState: decoupled_weight_decay",
      `false, for the rule ${rule}`,
      true,
      {
        hint: "PyTorch's Adam with decoupled weight decay is AdamW: load it into adamw()",
      },
    );
  }
  return {};
}
