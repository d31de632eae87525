// Options of packages around the wrappers: checked as those of core are, and refused with their place.
export * from "../schema.ts";
