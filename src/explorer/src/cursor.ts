/** What mouse, touch and keys do alike: move the visible part of the axis, and select steps. */

import type { Model } from "./data";
import { clamp } from "./dom";
import { firstThreshold } from "./select";
import { visible, type Selection, type Store } from "./state";

export function zoom(store: Store, model: Model, factor: number, about?: number): void {
  const { from, to, cursor } = store.view;
  const inSight = cursor && cursor.step >= from && cursor.step < to ? cursor.step + 0.5 : (from + to) / 2;
  const fixed = about ?? inSight;
  const width = clamp((to - from) * factor, Math.min(5, model.steps), model.steps);
  const start = fixed - ((fixed - from) / (to - from)) * width;
  store.set(visible(start, start + width, model.steps));
}

export function pan(store: Store, model: Model, steps: number): void {
  const { from, to } = store.view;
  store.set(visible(from + steps, to + steps, model.steps));
}

/** The selection of a range of steps in a quantity; its threshold stays while the quantity does. */
export function select(store: Store, model: Model, at: { layer: number; quantity: number }, a: number, b: number): void {
  const { selection, sample } = store.view;
  const old = selection?.layer === at.layer && selection.quantity === at.quantity ? selection : null;
  const { before, after } = selection ?? { before: false, after: false };
  const threshold = old?.threshold ?? firstThreshold(model.layers[at.layer]!.quantities[at.quantity]!);
  const next: Selection = { ...at, sample, from: Math.min(a, b), to: Math.max(a, b), threshold, before, after };
  const same = old && old.sample === sample && old.from === next.from && old.to === next.to;
  if (!same) store.set({ selection: next });
}
