// Rules of textlint for our own prose. One that is wrong more often than right is not kept: long sentences, passive voice and repeated words were tried.

/** Sentences with a subject: "What", "Whose" and "Who" begin questions only. */
function subjectFirst({ Syntax, RuleError, getSource, report }) {
  return {
    [Syntax.Str](node) {
      // A heading, or the words in bold that a paragraph begins with, may name a question.
      if (node.parent.type === Syntax.Header || node.parent.type === Syntax.Strong) return;
      const text = getSource(node);
      for (const { index, 0: sentence, 1: word } of text.matchAll(questions)) {
        const begins = index > 0 || isFirst(node);
        const goesOn = index + sentence.length === text.length && node.parent.children.at(-1) !== node;
        const asks = sentence.endsWith("?") || (goesOn && /\?\W*$/.test(getSource(node.parent)));
        if (begins && !asks)
          report(node, new RuleError(`begins with "${word}": name the subject first`, { index }));
      }
    },
  };
}
const questions = /(?<=^|[.!?:;]\s)(What|Whose|Who)\b[^.?!]*[.?!]?/g;
const isFirst = (node) => node.parent.children[0] === node;

/** One name for each concept: docs/glossary.md. */
function oneName({ Syntax, RuleError, getSource, report }) {
  return {
    [Syntax.Str](node) {
      for (const [other, name] of names)
        for (const { index, 0: found } of getSource(node).matchAll(other))
          report(node, new RuleError(`"${found}" is called "${name}" here: docs/glossary.md`, { index }));
    },
  };
}
const names = [
  [/\bmini-?batch(es)?\b/gi, "micro-batch"],
  [/\bmicrobatch(es)?\b/gi, "micro-batch"],
  [/\bhyper-parameters?\b/gi, "hyperparameter"],
  [/\bback-ends?\b/gi, "backend"],
  [/\b(param|parameter) groups? dict(ionary)?\b/gi, "group"],
];

/** A cell says one thing. More belongs below the table. */
function shortCells({ Syntax, RuleError, getSource, report }) {
  return {
    [Syntax.TableCell](node) {
      const words = getSource(node)
        .replace(/\]\([^)]*\)/g, "]")
        .replace(/\s+/g, " ")
        .replace(/^[ |]+|[ |]+$/g, "");
      if (words.length > longestCell)
        report(node, new RuleError(`a cell of ${words.length} characters: at most ${longestCell}`));
    },
  };
}
const longestCell = 240;

/** One tag for cost. */
function costTag({ Syntax, RuleError, getSource, report }) {
  return {
    [Syntax.Str](node) {
      for (const { index, 0: found } of getSource(node).matchAll(costs))
        report(node, new RuleError(`"${found}": write "Waits for the device."`, { index }));
    },
  };
}
const costs = /\b(?:Awaits|Blocks (?:on|until)|Synchronizes with|Waits (?:on|until)) the (?:device|GPU)\b/g;

/** For pages, comments and messages. */
export const rules = Object.entries({ subjectFirst, oneName, shortCells, costTag }).map(([ruleId, rule]) => ({
  ruleId,
  rule,
}));
