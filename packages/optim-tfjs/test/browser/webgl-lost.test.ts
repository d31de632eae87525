import { use } from "../backends.ts";
import { testLostContext } from "./lost-context.ts";

testLostContext(() => use({ backend: "webgl" }));
