import { refuse } from "@mm/optim-core/backend";
import type { Schedule } from "./schedule.ts";

/** @throws OptimError `invalid-option` */
export function requireSchedule(where: string, schedule: unknown): void {
  if ((schedule as Partial<Schedule> | null | undefined)?.kind === "schedule") return;
  refuse("invalid-option", where, "a schedule such as cosine({ length: 1000 })", schedule);
}
