import { completeSettings, type Settings } from "../src/settings.ts";

/** A model of one layer, and a training of a second or so. */
export const smallSettings = (settings: Partial<Settings> = {}): Settings =>
  completeSettings({ steps: 5, rows: 2, context: 16, layers: 1, width: 32, ...settings });
