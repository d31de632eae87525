// The prose in TypeScript and JavaScript, every word at the line that it has in its file, and nothing in all other lines.

/** Comments, without their marks. Those that tools read (`@ts-expect-error`, `oxlint-disable`) are no prose. */
export function commentsOf(source) {
  let inside = false;
  return mapLines(source, (line) => {
    const begins = !inside && /^\s*\/\*\*?/.test(line);
    if (inside || begins) {
      inside = !line.includes("*/");
      return line
        .replace(/^\s*(?:\/\*\*?|\*(?!\/))?/, "")
        .replace(/\*\/.*$/, "")
        .trim();
    }
    const [, comment] = /(?:^\s*|[;,{}()[\]]\s+)\/\/(.*)$/.exec(line) ?? [];
    return comment === undefined || /^\s*(?:@ts-|oxlint|eslint|prettier)/.test(comment) ? "" : comment.trim();
  });
}

/** The messages of errors: texts that stand beside `expected`, `hint` or in `new Error(…)` in one line. */
export function messagesOf(source) {
  return mapLines(source, (line) => {
    const [, , text] = /(?:expected:|hint:|Error\()\s*(["'`])(.*?)\1/.exec(line) ?? [];
    return text === undefined ? "" : text.replace(/[\\`*_<>]/g, "");
  });
}

const mapLines = (text, map) => text.split("\n").map(map).join("\n");
