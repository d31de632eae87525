import type { Expression, Scalar, Tensor, Value } from "./expression.ts";

declare const begins: unique symbol;

/** A slot that has one number per row or per column of a matrix, as it is declared. */
export interface SlotAlong<in out A extends "row" | "column"> {
  readonly per: A;
  readonly initial: number;
  readonly [begins]?: A;
}

/** Declares a slot of one float32 per row: per output of a layer. @param initial what it holds before the first step. Default 0 */
export const perRow = (initial = 0): SlotAlong<"row"> => ({ per: "row", initial });
/** Declares a slot of one float32 per column: per input of a layer. @param initial what it holds before the first step. Default 0 */
export const perColumn = (initial = 0): SlotAlong<"column"> => ({ per: "column", initial });

/** A scalar slot that is one number for all tensors of a rule, as it is declared. */
export interface SharedSlot {
  /** Its storage, for backends. */
  readonly shared: SharedStorage;
  readonly initial: number;
}

/** Keeps shared slots. The rest of it is core's own. */
export interface SharedStorage {
  /** The first thing in the next value of a shared slot that is of one tensor alone. */
  ofOneTensor(next: Expression, isShared: (slot: string) => boolean): string | undefined;
}

/**
 * The content of a slot before the parameter's first step: a number everywhere, or with `"param"` what the parameter holds then. A slot that
 * begins as the parameter, and that a state lacks, begins at the next step. {@link perRow} and {@link perColumn} declare slots that are smaller
 * than the parameter, for rules with `shapes`.
 */
export type InitialValue<H> =
  number | "param" | ((hyperparameters: H) => number) | SlotAlong<"row"> | SlotAlong<"column">;

/** Slots as `slots` of a definition declares them; absent where a structure has not all of them. */
export interface SlotDeclarations<H> {
  readonly [slot: string]: InitialValue<H> | undefined;
}

/** The names in any of several records. */
type NamesIn<S> = S extends unknown ? keyof S : never;
/** How a slot is declared in any of several records. */
type DeclarationIn<S, K> = S extends { readonly [P in K & PropertyKey]?: infer D }
  ? Exclude<D, undefined>
  : never;

/** The values of declared slots. */
export type SlotValues<S> = { readonly [K in NamesIn<S>]: SlotValue<DeclarationIn<S, K>> };
type SlotValue<D> = [D] extends [SlotAlong<infer A>] ? Value<A> : Tensor;

/** Their next values. Each may be a plain number or what is the same along an axis. */
export type NextSlotValues<S> = { readonly [K in NamesIn<S>]?: NextSlotValue<DeclarationIn<S, K>> };
type NextSlotValue<D> = [D] extends [SlotAlong<infer A>] ? Value<A> | Scalar | number : Tensor;
