// Names that no slot of a rule may have.

/** The slot of parameters with a master. */
export const masterSlot = "master";

/** The vector that keeps what was trained while the evaluation point stands in a parameter. */
export const trainedSlot = "trained";

/** Names a pending gradient among the slots of a saved parameter. */
export const pendingGradient = "grad";
