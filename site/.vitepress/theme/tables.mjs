// Long tables can be sorted by a click on a heading, and filtered by a word. Without JavaScript they are tables as always.
const longest = 8;

/** @param {ParentNode} page to be called again for every page that is shown */
export function enhanceTables(page) {
  for (const table of page.querySelectorAll(".vp-doc table:not([data-sortable])")) {
    if (table.tBodies[0]?.rows.length >= longest) enhance(table);
  }
}

function enhance(table) {
  table.dataset.sortable = "";
  for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "sort" });
    button.append(...heading.childNodes);
    if (button.textContent.trim() === "") button.textContent = "name";
    heading.append(button);
    button.addEventListener("click", () => sort(table, column));
  }
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "search" });
  label.className = "filter";
  label.append("Rows with ", input);
  input.addEventListener("input", () => filter(table, input.value));
  table.before(label);
}

function sort(table, column) {
  const { cells } = table.tHead.rows[0];
  const ascending = cells[column].ariaSort !== "ascending";
  for (const cell of cells) cell.ariaSort = null;
  cells[column].ariaSort = ascending ? "ascending" : "descending";
  const rows = [...table.tBodies[0].rows].sort((a, b) => compare(textOf(a, column), textOf(b, column)));
  table.tBodies[0].append(...(ascending ? rows : rows.reverse()));
}

const textOf = (row, column) => row.cells[column]?.textContent.trim() ?? "";

/** By the first number that both begin with, else by their letters; "12/12, 7.3e-7" counts as 7.3e-7. */
export function compare(a, b) {
  const [first, second] = [numberIn(a), numberIn(b)];
  if (Number.isNaN(first) || Number.isNaN(second)) return a.localeCompare(b, "en");
  return first - second;
}

function numberIn(text) {
  const [, error] = /^\d+\/\d+, (.*)$/.exec(text) ?? [];
  return Number.parseFloat((error ?? text).replace(/^[≤≥]\s*/, ""));
}

function filter(table, word) {
  for (const row of table.tBodies[0].rows)
    row.hidden = !row.textContent.toLowerCase().includes(word.trim().toLowerCase());
}
