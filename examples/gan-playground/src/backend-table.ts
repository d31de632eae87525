import type { BackendChoice } from "./choices.ts";

/** A row for each backend: its radio button, and how fast it was. */
export interface BackendTable<Name extends string> {
  readonly chosen: Name | undefined;
  choose(name: Name): void;
  offer(choices: readonly BackendChoice<Name>[]): void;
  /** Measured, not promised. */
  showSpeed(name: Name, milliseconds: number): void;
}

export function createBackendTable<Name extends string>(rows: HTMLTableSectionElement): BackendTable<Name> {
  const choose = (name: Name | undefined): void => {
    for (const input of rows.querySelectorAll("input")) input.checked = input.value === name;
  };
  /** Chosen before there were rows. */
  let first: Name | undefined;
  const chosen = (): Name | undefined =>
    (rows.querySelector<HTMLInputElement>("input:checked")?.value as Name | undefined) ?? first;
  return {
    get chosen() {
      return chosen();
    },
    choose(name) {
      first = name;
      choose(name);
    },
    offer(choices) {
      const name = chosen();
      rows.replaceChildren(...choices.map(row));
      choose(name);
    },
    showSpeed(name, milliseconds) {
      const cell = rows.querySelector(`[data-speed="${name}"]`);
      if (cell) cell.textContent = milliseconds.toFixed(1);
    },
  };
}

function row({ name, label, missing }: BackendChoice<string>): HTMLTableRowElement {
  const row = document.createElement("tr");
  const input = Object.assign(document.createElement("input"), {
    type: "radio",
    name: "backend",
    value: name,
    disabled: missing !== undefined,
  });
  const text = document.createElement("label");
  text.append(input, label);
  const speed = document.createElement("td");
  speed.className = "number";
  speed.dataset["speed"] = name;
  speed.textContent = missing === undefined ? "–" : "missing";
  if (missing !== undefined) {
    const why = document.createElement("small");
    why.textContent = ` (${missing})`;
    text.append(why);
  }
  const cell = document.createElement("td");
  cell.append(text);
  row.append(cell, speed);
  return row;
}
