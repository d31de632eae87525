import { completeSettings, type Settings } from "../src/settings.ts";

/** A run of a second or less. */
export const shortSettings = (settings: Partial<Settings> = {}): Settings =>
  completeSettings({ batch: 4, iterations: 8, logEvery: 2, ...settings });
