// A vitest reporter whose last line, alone, is `N passed, N failed` (`, N skipped` when there are any).
// A file that did not load, a type error outside any test and an unhandled error count as failed.

export default class CountReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[bucket(test.result().state)]++;
      for (const suite of module.children.allSuites()) count.failed += suite.errors().length;
      count.failed += module.errors().length;
    }
    // Other reporters print their summary in the same event: the line is written when the process ends.
    process.once("exit", () => {
      const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
      process.stdout.write(`${count.passed} passed, ${count.failed} failed${skipped}\n`);
    });
  }
}

const bucket = (state) => (state === "pending" ? "skipped" : state);
