import type { ClipGradByValue } from "@mm/optim-core";
import { describe, expectTypeOf, test } from "vitest";
import type { Matcher, ScaleLr } from "@mm/optim-config";
import {
  either,
  flag,
  list,
  number,
  object,
  oneOf,
  optional,
  type Shape,
  text,
} from "../src/schema/shape.ts";

// Every schema is annotated with the type of what it describes. These show that an annotation that is wrong does not compile: schema and
// types cannot drift apart.
describe("a schema agrees with its type", () => {
  test("in its fields", () => {
    const right: Shape<ScaleLr> = object({ baseBatchSize: number(), batchSize: number() });
    expectTypeOf(right.schema.type).not.toBeAny();
    // @ts-expect-error batchSize is missing
    const tooFew: Shape<ScaleLr> = object({ baseBatchSize: number() });
    const tooMany: Shape<ScaleLr> = object({
      baseBatchSize: number(),
      batchSize: number(),
      // @ts-expect-error there is no samples
      samples: number(),
    });
    void [tooFew, tooMany];
  });

  test("in their types", () => {
    // @ts-expect-error batchSize is a number
    const another: Shape<ScaleLr> = object({ baseBatchSize: number(), batchSize: flag });
    // @ts-expect-error the type allows one word only
    const wider: Shape<ClipGradByValue> = object({ type: oneOf("value", "norm"), clipValue: number() });
    // @ts-expect-error the type allows more words
    const narrower: Shape<"a" | "b"> = oneOf("a");
    // @ts-expect-error an object is a matcher too
    const fewer: Shape<Matcher> = either(text(), list(text()));
    void [another, wider, narrower, fewer];
  });

  test("in what may be absent", () => {
    interface Maybe {
      readonly a?: number;
    }
    const right: Shape<Maybe> = object({ a: optional(number()) });
    // @ts-expect-error it may be absent
    const required: Shape<Maybe> = object({ a: number() });
    // @ts-expect-error it may not be absent
    const absent: Shape<ScaleLr> = object({ baseBatchSize: number(), batchSize: optional(number()) });
    void [right, required, absent];
  });
});
