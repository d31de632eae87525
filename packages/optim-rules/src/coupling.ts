/** The structure of rules whose decay is an L2 penalty, `decays`, or decoupled, `shrinks`. */
export function coupledOrNot({
  weightDecay,
  decoupledWeightDecay,
}: {
  readonly weightDecay: number;
  readonly decoupledWeightDecay: boolean;
}): { readonly decays: boolean; readonly shrinks: boolean } {
  const on = weightDecay !== 0;
  return { decays: on && !decoupledWeightDecay, shrinks: on && decoupledWeightDecay };
}
