/** The list of keys and gestures behind "?". */

import { button, el } from "./dom";

const KEYS: [string, string][] = [
  ["← →", "move the cursor by a step; Home and End go to the ends"],
  ["↑ ↓ or k j", "previous, next sample"],
  ["p n", "previous, next unit"],
  ["Enter", "show the unit at the cursor"],
  ["Shift + ← →", "select steps in the heat map that the cursor is in"],
  ["+ − 0", "zoom in, zoom out, whole sequence"],
  ["Esc", "close the unit, then clear the selection"],
];

const GESTURES: [string, string][] = [
  ["Point or tap", "reads a step; a click in a heat map shows that unit"],
  ["Drag in a heat map", "selects steps, or moves along the axis: the button “Drag selects” decides"],
  ["Drag elsewhere", "moves along the axis"],
  ["Ctrl + wheel, pinch", "zooms; over the axis at the top the bare wheel does"],
  ["Shift + wheel", "moves along the axis"],
];

export function helpDialog(notes: string[]): HTMLDialogElement {
  const list = (entries: [string, string][]): HTMLElement =>
    el("dl", {}, ...entries.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
  const dialog = el("dialog", { id: "help-dialog", "aria-labelledby": "help-title" });
  dialog.append(
    el("h2", { id: "help-title" }, "Keys and gestures"),
    list(KEYS),
    list(GESTURES),
    el("h2", {}, "What is drawn"),
    el("p", {}, "Hatched steps are padding, or have no value. A colour scale that ends in ≤ or ≥ leaves out the rarest values beyond it. Select and match lists the units that are at or above the threshold at every selected step, and the places in all samples where most of them are again."),
    ...notes.filter(Boolean).map((note) => el("p", {}, note)),
    button("Close", { id: "close-help" }, () => dialog.close()),
  );
  return dialog;
}
