// Names that no slot of a rule may have.

/** The slot of parameters with a master. */
export const masterSlot = "master";

/** Names a pending gradient among the slots of a saved parameter. */
export const pendingGradient = "grad";
