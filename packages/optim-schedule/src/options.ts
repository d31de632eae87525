import { aBoolean, aString, checkSchema } from "@mm/optim-core/schema";
import type { SchedulerOptions } from "./scheduler.ts";

/** @throws OptimError `invalid-option`, `unknown-option` */
export function readOptions(options: SchedulerOptions, who: string): Required<SchedulerOptions> {
  checkSchema("invalid-option", who, options, { fields: { "replace?": aBoolean, "where?": aString } });
  const { replace = false, where = who } = options;
  return { replace, where };
}
