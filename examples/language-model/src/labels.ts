import type { OptimizerName } from "./settings.ts";

export const labels: { readonly [K in OptimizerName]: string } = {
  muon: "Muon + AdamW",
  adamw: "AdamW",
  "schedule-free": "schedule-free AdamW",
};
