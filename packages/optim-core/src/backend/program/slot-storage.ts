import { refuse } from "../../errors.ts";
import type { ErasedDefinition } from "../../rule/define.ts";
import type { SlotStorage } from "../../options.ts";
import { checkSchema, oneOf, type Schema } from "../../schema.ts";
import { memo } from "../memo.ts";
import type { SlotNames } from "./trace.ts";

/** A slot in less than float32, as an optimizer declares it: rules do not. */
interface NarrowSlot {
  readonly initial: unknown;
  readonly dtype: "bfloat16";
}

const stored = /* @__PURE__ */ new WeakMap<ErasedDefinition, Map<string, ErasedDefinition>>();

/** A definition whose slots say how they are stored. The same for the same arguments, since programs are kept by definition. */
export function withSlotStorage(
  definition: ErasedDefinition,
  storage: SlotStorage | undefined,
): ErasedDefinition {
  if (storage === undefined || definition.slots === undefined) return definition;
  const ofDefinition = memo(stored, definition, () => new Map<string, ErasedDefinition>());
  return memo(ofDefinition, JSON.stringify(storage), () => ({
    ...definition,
    slots: (structure) =>
      Object.fromEntries(
        Object.entries(definition.slots?.(structure) ?? {}).map(([slot, declared]) => [
          slot,
          (isNarrowable(declared) && isNarrow(storage, slot)
            ? ({ initial: declared, dtype: "bfloat16" } satisfies NarrowSlot)
            : declared) as typeof declared,
        ]),
      ),
  }));
}

/** Whether a slot can be in less: one number for each element, which does not begin as the parameter. */
const isNarrowable = (declared: unknown): boolean =>
  typeof declared === "number" || typeof declared === "function";

function isNarrow(storage: SlotStorage, slot: string): boolean {
  if (typeof storage === "string") return storage === "bfloat16";
  return Object.hasOwn(storage, slot) && storage[slot] === "bfloat16";
}

const aDtype = /* @__PURE__ */ oneOf("float32", "bfloat16");

/** @throws OptimError `invalid-option`; `unsupported` where the backend keeps slots in float32 alone */
export function checkSlotStorage(who: string, storage: SlotStorage, known: readonly string[] = []): void {
  const where = `${who}: slotDtype`;
  const schema: Schema = typeof storage === "object" ? { each: aDtype } : aDtype;
  checkSchema("invalid-option", where, storage, schema);
  const wanted = typeof storage === "object" ? Object.values(storage) : [storage];
  if (!wanted.includes("bfloat16") || known.includes("bfloat16")) return;
  refuse("unsupported", where, '"float32", in which this backend keeps all slots', "bfloat16");
}

/**
 * Of storage by names of slots.
 *
 * @param all the slots of each rule
 * @throws OptimError `unknown-name` for a slot that no rule has, `unsupported` for one that stays in float32
 */
export function checkStoredSlots(who: string, storage: SlotStorage, all: readonly SlotNames[]): void {
  if (typeof storage !== "object") return;
  for (const [slot, dtype] of Object.entries(storage)) {
    const where = `${who}: slotDtype`;
    if (!all.some(({ slots }) => slots.has(slot))) {
      const names = all.flatMap(({ slots }) => [...slots]);
      refuse("unknown-name", where, `slots among ${[...new Set(names)].join(", ")}`, slot);
    }
    if (dtype === "bfloat16" && !all.some(({ packed }) => packed.has(slot))) {
      const words = "a slot of one number for each element that does not begin as the parameter";
      refuse("unsupported", `${where}.${slot}`, words, dtype);
    }
  }
}
