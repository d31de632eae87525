import { refuse } from "@mm/optim-core/backend";
import type { LayerDecay } from "../config.ts";
import { type CompiledMatcher, compileMatcher } from "../matcher.ts";
import { listNames } from "../model/describe-model.ts";
import type { DescribedParameter } from "../model/model-kind.ts";
import {
  everything,
  type Plan,
  type PlannedParameter,
  type PlanRequest,
  requireKind,
  uniqueParameters,
} from "./plan.ts";

interface Entry extends CompiledMatcher {
  /** `config.layerDecay.layers[0]` */
  readonly path: string;
}

/** One layer: its place in the list, and its number where the entry stands for several. */
interface Layer {
  readonly entry: number;
  readonly number: number;
}

/**
 * Multiplies every learning rate by `rate` to the number of layers above the parameter's own. A tied parameter is of its lowest layer.
 *
 * @throws OptimError `unknown-parameter` for an entry that asks for a name, and finds none that no entry before it has; `unsupported` for a kind
 * that the model does not tell; `invalid-option` for a regular expression, and for one that captures no number
 */
export function decayLayers<P>(
  { path, parameters, rule: base }: PlanRequest<P>,
  { planned, unused }: Plan<P>,
  { rate, layers }: LayerDecay,
): Plan<P> {
  const entries = layers.map((matcher, index): Entry => {
    const place = `${path}.layerDecay.layers[${index}]`;
    return { ...compileMatcher(matcher, place), path: place };
  });
  for (const entry of entries) for (const kind of entry.kinds) requireKind(kind, parameters, entry.path);
  const found = new Map(
    uniqueParameters(parameters).map(({ parameter, places }) => [parameter.name, lowest(entries, places)]),
  );
  requireMatches(entries, [...found.values()], parameters);
  const heights = heightsOf([...found.values()]);
  const above = heights.size;
  return {
    planned: planned.map((one) => {
      const height = heights.get(keyOf(found.get(one.parameter.name))) ?? above;
      const label = `layer ${height} of ${above}`;
      const lr = (one.options["lr"] ?? (one.rule ?? base).hyperparameters.lr) as number;
      return {
        ...one,
        options: height === above ? one.options : { ...one.options, lr: lr * rate ** (above - height) },
        group: groupOf(one, label),
        why: [...one.why, `layerDecay: ${label}`],
      };
    }),
    unused,
  };
}

/** A group has one learning rate. A group of one parameter, as MMEngine's, keeps its name. */
function groupOf<P>({ group, parameter }: PlannedParameter<P>, label: string): string {
  if (group === parameter.name) return group;
  return group === everything ? label : `${group} + ${label}`;
}

/** The lowest layer that a parameter has a place in; `undefined` above them all. */
function lowest<P>(entries: readonly Entry[], places: readonly DescribedParameter<P>[]): Layer | undefined {
  const layers = places.flatMap((place) => layerOf(entries, place) ?? []);
  return layers.sort(fromBelow)[0];
}

const fromBelow = (a: Layer, b: Layer): number => a.entry - b.entry || a.number - b.number;

function layerOf<P>(entries: readonly Entry[], place: DescribedParameter<P>): Layer | undefined {
  const entry = entries.findIndex(({ matches }) => matches(place));
  if (entry === -1) return undefined;
  const { captures, path } = entries[entry] as Entry;
  if (captures === undefined) return { entry, number: 0 };
  const captured = captures(place);
  const number = /^\d+$/u.test(captured ?? "") ? Number(captured) : Number.NaN;
  if (!Number.isSafeInteger(number)) {
    refuse("invalid-option", `${path}.regex`, `a group that captures a number in ${place.name}`, captured);
  }
  return { entry, number };
}

function requireMatches<P>(
  entries: readonly Entry[],
  found: readonly (Layer | undefined)[],
  parameters: readonly DescribedParameter<P>[],
): void {
  for (const [index, { names, path, text }] of entries.entries()) {
    if (!names || found.some((layer) => layer?.entry === index)) continue;
    refuse("unknown-parameter", path, "a match among the parameters that no entry before it has", text, {
      hint: `There are ${listNames(parameters)}`,
    });
  }
}

/** How many layers are below each. */
function heightsOf(found: readonly (Layer | undefined)[]): ReadonlyMap<string, number> {
  const layers = found.flatMap((layer) => layer ?? []).sort(fromBelow);
  return new Map([...new Set(layers.map(keyOf))].map((key, height) => [key, height]));
}

const keyOf = (layer: Layer | undefined): string => (layer ? `${layer.entry}/${layer.number}` : "");
