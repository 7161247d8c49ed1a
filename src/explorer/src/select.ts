/** The panel of the selection: its threshold, the units it selects and the places like it. */

import { isReal, sampleName, tokenAt, type Matrix, type Model } from "./data";
import { bringUp, button, clamp, digits, el, plural } from "./dom";
import { goToPlace, goToUnit } from "./goto";
import { findMatches, packOn, selectUnits, type Match, type OnBits } from "./matching";
import type { Selection, Store, View } from "./state";
import { sparkline } from "./spark";

const BEST = 50;

/** Which units are on depends on the quantity and the threshold alone: kept while a range is dragged. */
function packer(model: Model): (selection: Selection) => OnBits {
  let key = "";
  let bits: OnBits | null = null;
  return (selection) => {
    const now = `${selection.layer} ${selection.quantity} ${selection.threshold}`;
    if (bits !== null && now === key) return bits;
    key = now;
    const { grid, real } = model.layers[selection.layer]!.quantities[selection.quantity]!;
    return (bits = packOn(grid, real, selection.threshold));
  };
}

/** A threshold that about a quarter of the values reach; rounded down, so that they still do. */
export function firstThreshold(matrix: Matrix): number {
  const value = matrix.statistics().quantile(0.75);
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value) || 1)) - 1);
  return Number((Math.floor(value / unit) * unit).toPrecision(3));
}

/** Must listen before those who show `selected` and `matches`. */
export function deriveMatches(store: Store, model: Model): void {
  const pack = packer(model);
  let last: Selection | null = null;
  const derive = (selection: Selection | null): Partial<View> => {
    last = selection;
    if (selection === null) return { selected: [], matches: [] };
    const bits = pack(selection);
    const selected = selectUnits(bits, selection, selection.before, selection.after);
    return { selected, matches: findMatches(bits, selection, selected, BEST) };
  };
  Object.assign(store.view, derive(store.view.selection));
  store.listen((view) => {
    if (view.selection !== last) Object.assign(view, derive(view.selection));
  });
}

/** A match with two steps around it, in words or as a small line. */
function preview(model: Model, selection: Selection, match: Match, units: number[]): Node {
  if (model.tokens === null) {
    const input = model.series.find((series) => series.role === "input" && !series.whole);
    const matrix = input ?? model.layers[selection.layer]!.quantities[selection.quantity]!;
    return sparkline(matrix, match, input ? [0] : units);
  }
  const words = (from: number, to: number): string => {
    const list: string[] = [];
    for (let step = Math.max(0, from); step <= Math.min(model.steps - 1, to); step++) {
      if (isReal(model.real, model.steps, match.sample, step)) list.push(tokenAt(model, match.sample, step) ?? "");
    }
    return list.join(" ");
  };
  return el(
    "span", { class: "words" },
    `${words(match.from - 2, match.from - 1)} `,
    el("mark", {}, words(match.from, match.to)),
    ` ${words(match.to + 1, match.to + 2)}`,
  );
}

export function rangeName(model: Model, range: { from: number; to: number }): string {
  const [first, last] = [model.header.steps[range.from], model.header.steps[range.to]];
  return range.from === range.to ? `step ${first}` : `steps ${first} to ${last}`;
}

export function selectPanel(store: Store, model: Model): HTMLElement {
  const hint = el("p", { class: "hint" }, "Drag over steps in a heat map, or press Shift and an arrow key.");
  const what = el("p", { id: "selection" });
  const slider = el("input", { type: "range", id: "threshold", "aria-label": "Threshold" });
  const number = el("input", { type: "number", id: "threshold-value", "aria-label": "Threshold as a number" });
  const before = el("input", { type: "checkbox", id: "off-before" });
  const after = el("input", { type: "checkbox", id: "off-after" });
  const units = el("ul", { id: "selected-units", "aria-label": "Selected units" });
  const matchesHead = el("h3", { id: "matches-head", "aria-live": "polite" });
  const matches = el("ol", { id: "matches", "aria-labelledby": "matches-head" });
  const clear = button("Clear", { id: "clear-selection" }, () => store.set({ selection: null }));
  const controls = el(
    "div", { class: "controls" },
    el("div", { class: "threshold" }, el("label", { for: "threshold" }, "on if ≥"), slider, number),
    el("label", {}, before, "off just before"),
    el("label", {}, after, "off just after"),
    clear,
  );
  const body = el("div", {}, what, controls, units, matchesHead, matches);
  const panel = el("section", { class: "panel", "aria-label": "Selection" }, el("h2", {}, "Select and match"), hint, body);

  const change = (patch: Partial<Selection>): void => {
    const { selection } = store.view;
    if (selection) store.set({ selection: { ...selection, ...patch } });
  };
  slider.addEventListener("input", () => change({ threshold: Number(slider.valueAsNumber.toPrecision(6)) }));
  number.addEventListener("input", () => {
    if (Number.isFinite(number.valueAsNumber)) change({ threshold: number.valueAsNumber });
  });
  before.addEventListener("change", () => change({ before: before.checked }));
  after.addEventListener("change", () => change({ after: after.checked }));

  let shown: Selection | null = null;
  let unseen = false;
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const markShown = (view: View): void => {
    for (const go of matches.querySelectorAll("button")) {
      const { sample, from, to } = go.dataset;
      const step = view.cursor?.step ?? -1;
      const here = Number(sample) === view.sample && step >= Number(from) && step <= Number(to);
      if (here) go.setAttribute("aria-current", "true");
      else go.removeAttribute("aria-current");
    }
  };

  const showMatches = (view: View, selection: Selection): void => {
    const { selected } = view;
    const count = view.matches.length;
    if (selected.length === 0) {
      matchesHead.textContent = "No unit is on at all these steps: lower the threshold, or select fewer steps.";
    } else if (count === 0) {
      matchesHead.textContent = "No other place has one of these units on for as long.";
    } else {
      matchesHead.textContent = `${count === BEST ? `The ${BEST} best places` : plural(count, "place")} like it`;
    }
    matches.replaceChildren(
      ...view.matches.map((match) => {
        const go = button("", { "data-sample": match.sample, "data-from": match.from, "data-to": match.to }, () =>
          goToPlace(store, model, match, {
            layer: selection.layer,
            quantity: selection.quantity,
            unit: store.view.cursor?.on?.layer === selection.layer ? store.view.cursor.on.unit : selected[0]!,
          }),
        );
        go.append(
          el("span", { class: "place" }, `${sampleName(model, match.sample)}, ${rangeName(model, match)}`),
          preview(model, selection, match, selected),
          el("span", { class: "count" }, `${match.shared} of ${plural(selected.length, "unit")}${match.further > 0 ? `, ${match.further} more` : ""}`),
        );
        return el("li", {}, go);
      }),
    );
    markShown(view);
  };

  const show = (view: View): void => {
    const { selection } = view;
    markShown(view);
    hint.hidden = selection !== null;
    body.hidden = selection === null;
    if (selection === null || selection === shown) {
      shown = selection;
      return;
    }
    if (shown === null) unseen = true;
    shown = selection;
    const layer = model.layers[selection.layer]!;
    const matrix = layer.quantities[selection.quantity]!;
    const { min, max } = matrix.statistics();
    what.textContent =
      `${matrix.title} in ${layer.address}, ${rangeName(model, selection)} of ${sampleName(model, selection.sample)}: ` +
      `${view.selected.length} of ${plural(layer.units.length, "unit")} on.`;
    const step = String((max - min) / 200 || 0.01);
    Object.assign(slider, { min: String(min), max: String(max), step: "any" });
    number.step = String(Number(Number(step).toPrecision(1)));
    slider.valueAsNumber = clamp(selection.threshold, min, max);
    slider.setAttribute("aria-valuetext", digits(selection.threshold));
    if (document.activeElement !== number) number.value = String(Number(selection.threshold.toPrecision(3)));
    before.checked = selection.before;
    after.checked = selection.after;
    units.replaceChildren(
      ...view.selected.map((unit) =>
        el("li", {}, button(String(layer.units[unit]), { "data-unit": unit, "aria-label": `Unit ${layer.units[unit]}` }, () =>
          goToUnit(store, selection.layer, unit),
        )),
      ),
    );
    // Fifty lines of a list need not follow each frame of a drag.
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      showMatches(store.view, selection);
      // Before it has its length, there is nowhere to scroll to.
      if (unseen) bringUp(panel);
      unseen = false;
    }, 60);
  };
  show(store.view);
  store.listen(show);
  return panel;
}
