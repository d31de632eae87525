import { testOptimizer } from "@mm/optim-conformance";
import { test } from "vitest";
import { wasmFactory } from "./factory.ts";

testOptimizer({ test, factory: wasmFactory });
