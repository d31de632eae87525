// A vitest reporter whose last line, alone, is `N passed, N failed` (`, N skipped` when there are any).
// A file that did not load, a suite whose hooks threw and an unhandled error count as failed. So does a suite that
// could not run for want of a device, where REQUIRE_DEVICES=1 says that the machine has them all.

export default class CountReporter {
  /** @readonly */
  #notRun;

  /** @readonly */
  #notRunEither;

  /**
   * @param {readonly string[]} notRun one line for each group of suites that this machine cannot run
   * @param {readonly string[]} notRunEither the same, where no machine has to
   */
  constructor(notRun = [], notRunEither = []) {
    this.#notRun = notRun;
    this.#notRunEither = notRunEither;
  }

  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[bucket(test.result().state)]++;
      for (const suite of module.children.allSuites()) count.failed += suite.errors().length;
      count.failed += module.errors().length;
    }
    if (process.env.REQUIRE_DEVICES === "1") count.failed += this.#notRun.length;

    // Other reporters print their summary at this event too: what has to come last waits for the exit.
    process.once("exit", () => {
      if (count.failed > 0) process.exitCode ||= 1;
      const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
      const lines = [
        ...this.#notRun,
        ...this.#notRunEither,
        `${count.passed} passed, ${count.failed} failed${skipped}`,
      ];
      process.stdout.write(`${lines.join("\n")}\n`);
    });
  }
}

/** A test that did not run, for whatever reason, was skipped. */
const bucket = (state) => (state === "pending" ? "skipped" : state);
