/** Goes to a place in the samples, or to a unit: in the view, and on a small screen by scrolling. */

import type { Model } from "./data";
import { clamp } from "./dom";
import type { Range } from "./matching";
import { keyOf, type Cursor, type Store, type View } from "./state";

/** Moves the visible part of the axis, if need be, so that a place lies within it. */
export function intoSight(view: View, place: { from: number; to: number }, model: Model): Partial<View> {
  const width = Math.max(view.to - view.from, place.to + 1 - place.from);
  if (place.from >= view.from && place.to < view.to) return {};
  const from = clamp((place.from + place.to + 1 - width) / 2, 0, model.steps - width);
  return { from, to: from + width };
}

/** Scrolls the page to what is out of sight, once the view has been drawn. */
function scrollToPart(selector: string): void {
  requestAnimationFrame(() => {
    const part = document.querySelector(selector);
    if (part === null) return;
    const { top, bottom } = part.getBoundingClientRect();
    if (bottom > 100 && top < innerHeight - 100) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    part.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "center" });
  });
}

export function goToPlace(store: Store, model: Model, place: Range, on: Cursor["on"]): void {
  store.set({ sample: place.sample, cursor: { step: place.from, on }, ...intoSight(store.view, place, model) });
  scrollToPart(on === null ? "#rows" : `.plot[data-row="${keyOf(on.layer, on.quantity)}"]`);
}

export function goToUnit(store: Store, layer: number, unit: number): void {
  store.set({ unit: { layer, unit } });
  scrollToPart("#unit");
}
