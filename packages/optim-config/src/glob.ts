/** One step of a pattern: a character as it is, or one of the wildcards. */
type Step = string;

/**
 * A glob: `*` is anything within a part, `**` anything, `?` one character within a part. The whole name has to fit.
 *
 * All ways through the pattern are followed at once, character by character, so the time is at most the length of the name times that of the
 * pattern. A regular expression would try one way after the other, and `**a**a**a…` has very many.
 */
export function compileGlob(glob: string): (name: string) => boolean {
  // Characters, not code units.
  const steps: readonly Step[] = glob.match(/\*\*|[^]/gu) ?? [];
  const nowhere = (): boolean[] => [false, ...steps.map(() => false)];
  return (name) => {
    // places[i]: whether the steps before i fit what was read so far.
    let places = reach(nowhere(), 0, steps);
    for (const character of name) {
      const next = nowhere();
      for (const [index, step] of steps.entries()) {
        if (!places[index] || !takes(step, character)) continue;
        reach(next, isRepeated(step) ? index : index + 1, steps);
      }
      places = next;
    }
    return places.at(-1) === true;
  };
}

/** Notes a place, and those behind wildcards that may stand for nothing. */
function reach(places: boolean[], place: number, steps: readonly Step[]): boolean[] {
  for (let index = place; !places[index]; index += 1) {
    places[index] = true;
    if (!isRepeated(steps[index])) break;
  }
  return places;
}

const isRepeated = (step: Step | undefined): boolean => step === "*" || step === "**";

function takes(step: Step, character: string): boolean {
  if (step === "**") return true;
  const isWithinPart = character !== "." && character !== "/";
  return step === "*" || step === "?" ? isWithinPart : step === character;
}
