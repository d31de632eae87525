/** What was asked for cannot be done, and the message says why: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
