import { testOptimizer } from "@mm/optim-conformance";
import { test } from "vitest";
import { paths } from "./backends.ts";
import { tfjsFactory } from "./factory.ts";

for (const path of paths) testOptimizer({ test, factory: await tfjsFactory(path) });
