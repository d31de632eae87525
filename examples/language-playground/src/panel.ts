import { createBackendTable } from "@mm-examples/gan-playground/backend-table";
import type { BackendChoice, TfjsBackend } from "@mm-examples/gan-playground/choices";
import { learningRate } from "@mm-examples/gan-playground/panel";
import { type OptimizerName, ratesOf, type ScheduleName } from "@mm-examples/language-model/settings";
import { type Controls, defaults, type SizeName } from "./controls.ts";

/** The form: what the controls say, and how to make them say something else. */
export interface Panel {
  read(): Controls;
  show(controls: Controls): void;
  offerBackends(choices: readonly BackendChoice<TfjsBackend>[]): void;
  showSpeed(backend: TfjsBackend, milliseconds: number): void;
}

export function createPanel(form: HTMLFormElement, onChange: () => void): Panel {
  const field = <E extends HTMLElement>(selector: string): E => form.querySelector<E>(selector) as E;
  const optimizer = field<HTMLSelectElement>("#optimizer");
  const lr = field<HTMLInputElement>("#lr");
  const muonLr = field<HTMLInputElement>("#muon-lr");
  const schedule = field<HTMLSelectElement>("#schedule");
  const steps = field<HTMLInputElement>("#steps");
  const size = field<HTMLSelectElement>("#size");
  const backends = createBackendTable<TfjsBackend>(field("#backends"));

  const chosen = (): OptimizerName => optimizer.value as OptimizerName;
  const settle = (): void => {
    for (const range of [lr, muonLr]) {
      const output = field<HTMLOutputElement>(`output[for=${range.id}]`);
      output.value = learningRate(range).toExponential(1);
      range.setAttribute("aria-valuetext", output.value);
    }
    muonLr.disabled = chosen() !== "muon";
    schedule.disabled = chosen() === "schedule-free";
    field("#schedule-note").textContent = schedule.disabled ? "Its warm-up is a part of the rule." : "";
  };
  const changed = (): void => {
    settle();
    if (form.checkValidity()) onChange();
  };

  form.addEventListener("input", ({ target }) => {
    // A number is not complete while it is typed.
    if (target === steps) return;
    if (target === optimizer) lr.value = String(Math.log10(ratesOf(chosen()).lr));
    changed();
  });
  steps.addEventListener("change", changed);
  form.addEventListener("submit", (event) => event.preventDefault());

  return {
    read: () => ({
      optimizer: chosen(),
      lr: learningRate(lr),
      muonLr: learningRate(muonLr),
      schedule: schedule.value as ScheduleName,
      steps: steps.valueAsNumber,
      ...(size.value !== "" && { size: size.value as SizeName }),
      backend: backends.chosen ?? defaults.backend,
    }),
    show(controls) {
      optimizer.value = controls.optimizer;
      lr.value = String(Math.log10(controls.lr));
      muonLr.value = String(Math.log10(controls.muonLr));
      schedule.value = controls.schedule;
      steps.value = String(controls.steps);
      size.value = controls.size ?? "";
      backends.choose(controls.backend);
      settle();
    },
    offerBackends: backends.offer,
    showSpeed: backends.showSpeed,
  };
}
