/** The entry at index i turns a state of version i + 1 into one of version i + 2. The last one leads to the current version. */
export type Migrations = readonly ((state: object) => object)[];

/**
 * A state of any version as of the current one: what was saved once is read by every later release. Anything but a state, or one of a later
 * version, stays as it is, to be refused. The argument is not changed.
 */
export function migrated<T>(state: T, migrations: Migrations): T {
  const { version } = Object(state) as { readonly version?: unknown };
  const steps = migrations.findIndex((_, index) => index + 1 === version);
  return steps < 0
    ? state
    : (migrations.slice(steps).reduce((older, step) => step(older), state as object) as T);
}

/** Version 1 is the first. */
export const wrapperMigrations: Migrations = [];
/** Version 2 may have rules in groups. */
export const optimizerMigrations: Migrations = [(state) => ({ ...state, version: 2 })];
