import { test } from "vitest";
import { referenceFactory, testOptimizer } from "../src/index.ts";

testOptimizer({ test, factory: referenceFactory() });
