/** What there is at the cursor: the step, its token or inputs, outputs, and the unit pointed at. */

import { isReal, labelOf, sampleName, shownValue, tokenAt, type Model, type ModelSeries } from "./data";
import { button, digits, el, lifeText } from "./dom";
import { goToUnit } from "./goto";
import { keyOf, type Store, type View } from "./state";

const FEATURES = 6;

function seriesText(series: ModelSeries, sample: number, step: number): string {
  const parts = series.features.slice(0, FEATURES).map((feature, column) => {
    const value = digits(shownValue(series, sample, series.whole ? 0 : step, column));
    return series.features.length === 1 ? value : `${feature} ${value}`;
  });
  if (series.features.length > FEATURES) parts.push("…");
  return parts.join("\n");
}

/** Name and value of all that the readout tells. */
export function readCursor(model: Model, view: View): [string, string][] {
  const facts: [string, string][] = [];
  const { cursor, sample } = view;
  const label = labelOf(model, sample);
  if (label) facts.push(["label", label]);
  for (const series of model.series) {
    if (series.whole) facts.push([`${series.title} (whole sequence)`, seriesText(series, sample, 0)]);
  }
  if (cursor === null) return facts;
  const { step, on } = cursor;
  const layer = on && model.layers[on.layer]!;
  const masked = !isReal(layer ? layer.real : model.real, model.steps, sample, step);
  facts.unshift(["step", `${model.header.steps[step]}${masked ? " (padding)" : ""}`]);
  const token = tokenAt(model, sample, step);
  if (token !== null && !masked) facts.push(["token", token]);
  for (const series of model.series) {
    if (!series.whole) facts.push([series.title, seriesText(series, sample, step)]);
  }
  if (on === null || layer === null) return facts;
  facts.push(["unit", `${layer.units[on.unit]} of ${layer.address}`]);
  layer.quantities.forEach((quantity, index) => {
    if (!view.shown.has(keyOf(on.layer, index))) return;
    facts.push([quantity.title, digits(shownValue(quantity, sample, step, on.unit))]);
  });
  const life = layer.half_life?.[on.unit];
  if (life != null) facts.push(["half-life", lifeText(life)]);
  return facts;
}

export function readout(store: Store, model: Model, rows: HTMLElement): HTMLElement {
  const list = el("dl", {});
  const open = button("Show this unit", { id: "open-unit" }, () => {
    const on = store.view.cursor?.on;
    if (on) goToUnit(store, on.layer, on.unit);
  });
  const head = el("h2", {});
  const hint = el("p", { class: "hint" }, "Point at a step, or press an arrow key.");
  const panel = el("section", { class: "panel", id: "readout", "aria-label": "At the cursor" }, head, hint, list, open);
  const show = (view: View): void => {
    head.textContent = sampleName(model, view.sample);
    hint.hidden = view.cursor !== null;
    panel.classList.toggle("idle", view.cursor === null);
    const on = view.cursor?.on;
    open.hidden = !on || (on.layer === view.unit?.layer && on.unit === view.unit.unit);
    list.replaceChildren(
      ...readCursor(model, view).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    );
  };
  show(store.view);
  store.listen(show);
  // On a phone it lies over the page's foot: only as long as there are rows to read.
  new IntersectionObserver(([entry]) => panel.classList.toggle("away", entry?.isIntersecting === false)).observe(rows);
  return panel;
}

/** A region that screen readers speak; only keys fill it, as a mouse would never let it finish. */
export const spoken = el("p", { class: "spoken", role: "status", "aria-live": "polite", id: "spoken" });

export function speakCursor(model: Model, view: View): void {
  const facts = readCursor(model, view).map(([name, value]) => `${name} ${value.replaceAll("\n", ", ")}`);
  spoken.textContent = [sampleName(model, view.sample), ...facts].join("; ");
}
