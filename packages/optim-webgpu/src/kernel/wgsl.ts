/**
 * A text of WGSL as it stands in a template, without the template's own indentation. A value of several lines is indented as the line that
 * it stands in; a line that holds an empty value alone is left out, and so is one of two empty lines around it.
 */
export function wgsl(strings: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  const margins = strings.join("value").match(/\n *(?=\S)/g) ?? [];
  const margin = margins.reduce(
    (least, each) => (each.length < least.length ? each : least),
    margins[0] ?? "\n",
  );
  const [first, ...others] = strings.map((text) => text.replaceAll(margin, "\n"));
  let code = first as string;
  for (const [index, other] of others.entries()) {
    const value = String(values[index]);
    const [line] = /\n *$/.exec(code) ?? [""];
    const isAlone = line !== "" && other.startsWith("\n");
    if (value !== "" || !isAlone) code += indented(value, marginOf(code)) + other;
    else
      code =
        code.slice(0, -line.length) + (code.endsWith(`\n${line}`) ? other.replace(/^\n\n/, "\n") : other);
  }
  return code.trim();
}

/** The spaces that the last line of a text begins with. */
const marginOf = (code: string): string =>
  (/ *(?! )/.exec(code.slice(code.lastIndexOf("\n") + 1)) as RegExpExecArray)[0];

/** The lines after the first, as far as they are not empty, behind a margin. */
const indented = (text: string, margin: string): string => text.replaceAll(/\n(?=[^\n])/g, `\n${margin}`);
