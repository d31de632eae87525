import { useHalfFloats } from "./half-support.ts";
import { testLostContext } from "./lost-context.ts";

testLostContext(useHalfFloats);
