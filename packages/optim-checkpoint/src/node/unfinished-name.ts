import { createHash, randomBytes } from "node:crypto";
import { hostname } from "node:os";

// A file has a name of its own while it is written: `.optim-HOST-PROCESS-RANDOM.unfinished`. It is short whatever the file will be called, and
// says who writes it, so that what a killed process left can be told from what another is writing now.

/** A name that no file has. */
export function unfinishedName(): string {
  return `.optim-${host()}-${process.pid}-${randomBytes(6).toString("hex")}.unfinished`;
}

/** Hashed: a name of a host may be long, and is nobody's business. */
export const host = (): string => createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
