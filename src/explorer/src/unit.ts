/** A unit's page: its memory, how its values are spread, and where it is most and least active. */

import { max } from "d3-array";
import { isReal, sampleName, tokenAt, valueAt, type Matrix, type Model } from "./data";
import { bringUp, button, digits, el, lifeText } from "./dom";
import { histogram } from "./histogram";
import { goToPlace, goToUnit } from "./goto";
import { keyOf, type Store, type View } from "./state";

const PLACES = 5;

interface Place {
  sample: number;
  step: number;
  value: number;
}

/** Peaks (or troughs) over all samples, the farthest first. A plateau counts once, at its start. */
export function extremes(matrix: Matrix, unit: number, sign: 1 | -1): Place[] {
  const { samples, steps } = matrix.grid;
  const value = (sample: number, step: number): number => {
    if (step < 0 || step >= steps || !isReal(matrix.real, steps, sample, step)) return -Infinity;
    const at = sign * valueAt(matrix.grid, sample, step, unit);
    return Number.isNaN(at) ? -Infinity : at;
  };
  const places: Place[] = [];
  for (let sample = 0; sample < samples; sample++) {
    for (let step = 0; step < steps; step++) {
      const here = value(sample, step);
      if (here === -Infinity || value(sample, step - 1) >= here) continue;
      let after = step + 1;
      while (value(sample, after) === here) after++;
      if (value(sample, after) > here) continue;
      places.push({ sample, step, value: sign * here });
    }
  }
  return places
    .sort((a, b) => sign * (b.value - a.value) || a.sample - b.sample || a.step - b.step)
    .slice(0, PLACES);
}

function histogramElement(matrix: Matrix, unit: number, name: string): HTMLElement {
  const { low, high, counts } = histogram(matrix, unit);
  const most = max(counts) || 1;
  const bars = counts.map((count) => {
    const bar = el("span", { title: `${count}` });
    bar.style.height = `${(100 * count) / most}%`;
    return bar;
  });
  const label = `Histogram of ${name}: values from ${digits(low)} to ${digits(high)}`;
  return el(
    "div", { class: "histogram", role: "img", "aria-label": label },
    el("div", { class: "bars" }, ...bars),
    el("div", { class: "marks" }, el("span", {}, digits(low)), el("span", {}, digits(high))),
  );
}

/** What the unit is connected to most; a unit of a layer that is shown is a click away. */
function connectionElements(store: Store, model: Model, layerAt: number, unit: number): HTMLElement[] {
  const layer = model.layers[layerAt]!;
  return layer.connections.map(({ direction, of, names, places, strength }) => {
    const other = model.layers.findIndex(({ address }) => address === of);
    const items = places[unit]!.map((place, at) => {
      const text = `${other < 0 ? "" : "unit "}${names[place]}: ${digits(strength[unit]![at]!)}`;
      const number = other < 0 ? -1 : model.layers[other]!.units.indexOf(Number(names[place]));
      return el("li", {}, number < 0 ? text : button(text, { "data-unit": number }, () => goToUnit(store, other, number)));
    });
    const title = `Strongest ${direction} ${other === layerAt ? "its own layer" : of}`;
    return el("div", {}, el("h3", {}, title), el("ol", { class: "places connections" }, ...items));
  });
}

export function unitPanel(store: Store, model: Model): HTMLElement {
  const panel = el("section", { class: "panel", id: "unit", "aria-label": "Unit" });
  let chosen = 0;
  let key = "";

  const placesElement = (title: string, places: Place[], view: View): HTMLElement => {
    const { layer, unit } = view.unit!;
    const items = places.map(({ sample, step, value }) => {
      const token = tokenAt(model, sample, step);
      const text = `${digits(value)} at step ${model.header.steps[step]}${token === null ? "" : ` (${token})`}, ${sampleName(model, sample)}`;
      return el("li", {}, button(text, { "data-sample": sample, "data-step": step }, () =>
        goToPlace(store, model, { sample, from: step, to: step }, { layer, quantity: chosen, unit }),
      ));
    });
    return el("div", {}, el("h3", {}, title), el("ol", { class: "places" }, ...items));
  };

  const show = (view: View): void => {
    panel.hidden = view.unit === null;
    if (view.unit === null) {
      key = "";
      return;
    }
    const { layer: layerAt, unit } = view.unit;
    const layer = model.layers[layerAt]!;
    const fresh = !key.startsWith(`${layerAt}.${unit}.`);
    if (fresh) {
      const firstShown = layer.quantities.findIndex((_, index) => view.shown.has(keyOf(layerAt, index)));
      chosen = Math.max(0, firstShown);
    }
    const now = `${layerAt}.${unit}.${chosen}`;
    if (now === key) return;
    key = now;
    const matrix = layer.quantities[chosen]!;
    const life = layer.half_life?.[unit];
    const choice = el("select", { "aria-label": "Quantity", id: "unit-quantity" });
    layer.quantities.forEach((quantity, index) =>
      choice.append(el("option", { value: index, selected: index === chosen }, quantity.title)),
    );
    choice.addEventListener("change", () => {
      chosen = Number(choice.value);
      show(store.view);
      panel.querySelector("select")?.focus();
    });
    panel.replaceChildren(
      el("h2", {}, `Unit ${layer.units[unit]} of ${layer.address}`, button("×", { class: "close", "aria-label": "Close the unit", id: "close-unit" }, () => store.set({ unit: null }))),
      el("p", {}, life == null ? "" : `Half-life: ${lifeText(life)}.`),
      el("p", {}, choice),
      el("h3", {}, "All real steps of all samples"),
      histogramElement(matrix, unit, matrix.title),
      placesElement("Highest", extremes(matrix, unit, 1), view),
      placesElement("Lowest", extremes(matrix, unit, -1), view),
      ...connectionElements(store, model, layerAt, unit),
    );
    if (fresh) bringUp(panel);
  };
  show(store.view);
  store.listen((view) => show(view));
  return panel;
}
