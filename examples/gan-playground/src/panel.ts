import { createBackendTable } from "./backend-table.ts";
import { type Controls, learningRates, type RuleName } from "./controls.ts";
import { type BackendChoice, type BackendName, type Side, sides } from "./choices.ts";

/** The form: what the controls say, and how to make them say something else. */
export interface Panel {
  read(): Controls;
  show(controls: Controls): void;
  offerBackends(choices: readonly BackendChoice[]): void;
  /** Measured, not promised: the milliseconds of one iteration. */
  showSpeed(backend: BackendName, milliseconds: number): void;
}

export function createPanel(form: HTMLFormElement, onChange: () => void): Panel {
  const field = <E extends HTMLElement>(selector: string): E => form.querySelector<E>(selector) as E;
  const clip = field<HTMLSelectElement>("#clip");
  const bound = field<HTMLInputElement>("#bound");
  const accumulate = field<HTMLSelectElement>("#accumulate");
  const scaling = field<HTMLInputElement>("#scaling");
  const backends = createBackendTable<BackendName>(field("#backends"));
  const note = field<HTMLParagraphElement>("#backend-note");
  const of = { generator: addSide(form, "generator"), discriminator: addSide(form, "discriminator") };

  const backend = (): BackendName => backends.chosen ?? "wasm";
  const settle = (): void => {
    bound.disabled = clip.value === "none";
    const plain = backend().endsWith("-plain");
    for (const { rule, lr, frozen, output } of Object.values(of)) {
      output.value = learningRate(lr).toExponential(1);
      lr.setAttribute("aria-valuetext", output.value);
      for (const control of [rule, lr, frozen]) control.disabled = plain;
    }
    for (const control of [clip, accumulate, scaling]) control.disabled = plain;
    if (plain) bound.disabled = true;
    note.textContent = plain ? "tf.train.adam has nothing that could be changed while it runs." : "";
  };

  form.addEventListener("input", ({ target }) => {
    for (const { rule, lr } of Object.values(of)) {
      // Rules differ by orders of magnitude in the learning rate that suits them.
      if (target === rule) lr.value = String(Math.log10(learningRates[rule.value as RuleName]));
    }
    settle();
    if (form.checkValidity()) onChange();
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  return {
    read: () => ({
      generator: readSide(of.generator),
      discriminator: readSide(of.discriminator),
      clip: clip.value as Controls["clip"],
      bound: bound.valueAsNumber,
      accumulate: Number(accumulate.value),
      scaling: scaling.checked,
      backend: backend(),
    }),
    show(controls) {
      for (const side of sides) {
        const { rule, lr, frozen } = of[side];
        rule.value = controls[side].rule;
        lr.value = String(Math.log10(controls[side].lr));
        frozen.checked = controls[side].frozen;
      }
      clip.value = controls.clip;
      bound.value = String(controls.bound);
      accumulate.value = String(controls.accumulate);
      scaling.checked = controls.scaling;
      backends.choose(controls.backend);
      settle();
    },
    offerBackends(choices) {
      backends.offer(choices);
      settle();
    },
    showSpeed: backends.showSpeed,
  };
}

interface SideFields {
  readonly rule: HTMLSelectElement;
  readonly lr: HTMLInputElement;
  readonly output: HTMLOutputElement;
  readonly frozen: HTMLInputElement;
}

function addSide(form: HTMLFormElement, side: Side): SideFields {
  const template = document.querySelector("#side") as HTMLTemplateElement;
  const content = template.content.cloneNode(true) as DocumentFragment;
  const field = <E extends HTMLElement>(selector: string): E => content.querySelector<E>(selector) as E;
  const fields = {
    rule: field<HTMLSelectElement>("[name=rule]"),
    lr: field<HTMLInputElement>("[name=lr]"),
    output: field<HTMLOutputElement>("output"),
    frozen: field<HTMLInputElement>("[name=frozen]"),
  };
  for (const control of [fields.rule, fields.lr]) {
    control.id = `${side}-${control.name}`;
    (control.previousElementSibling as HTMLLabelElement).htmlFor = control.id;
    control.name = control.id;
  }
  fields.frozen.id = fields.frozen.name = `${side}-frozen`;
  fields.output.setAttribute("for", fields.lr.id);
  form.querySelector(`[data-side=${side}]`)?.append(content);
  return fields;
}

/** The range is of the exponent. Rounded to the two digits that are shown. */
export const learningRate = (range: HTMLInputElement): number =>
  Number((10 ** range.valueAsNumber).toPrecision(2));

const readSide = ({ rule, lr, frozen }: SideFields): Controls[Side] => ({
  rule: rule.value as RuleName,
  lr: learningRate(lr),
  frozen: frozen.checked,
});
