/** The work of the last scheduler of one number of a group. */
export interface Drive {
  /** The scheduler; compared by identity alone, since it may come from another copy of this package. */
  readonly owner: object;
  /** Whether the owner still has values to write: it was not disposed, and its schedules are not over. */
  readonly isLive: () => boolean;
  /** The value that its schedules begin with. */
  readonly initial: number;
  /** The value that it wrote last. Another value in the group was assigned by somebody else since. */
  readonly written: number;
}

type DrivesOfGroup = Map<string, Drive>;

// Groups take no further properties, and several copies of this package may be installed, so the notes are kept beside the groups, in
// one map of the process. It holds no group alive.
const symbol = (): symbol => Symbol.for("@mm/optim-schedule: drives");

function drives(): WeakMap<object, DrivesOfGroup> {
  const holder = globalThis as unknown as { [key: symbol]: WeakMap<object, DrivesOfGroup> | undefined };
  const known = holder[symbol()];
  if (known) return known;
  const made = new WeakMap<object, DrivesOfGroup>();
  Object.defineProperty(globalThis, symbol(), { value: made });
  return made;
}

export const driveOf = (group: object, key: string): Drive | undefined => drives().get(group)?.get(key);

/** @returns what puts the earlier note back */
export function noteDrive(group: object, key: string, drive: Drive): () => void {
  const all = drives();
  const ofGroup: DrivesOfGroup = all.get(group) ?? new Map<string, Drive>();
  all.set(group, ofGroup);
  const before = ofGroup.get(key);
  ofGroup.set(key, drive);
  return () => {
    if (before) ofGroup.set(key, before);
    else ofGroup.delete(key);
  };
}
