/** Keys: everything that a mouse does can be done with them. */

import { rowOf, type Board } from "./board";
import { pan, select, zoom } from "./cursor";
import type { Model } from "./data";
import { clamp } from "./dom";
import { orderUnits } from "./heatmap";
import { speakCursor } from "./readout";
import { intoSight } from "./goto";
import { keyOf, type Cursor, type Store } from "./state";

/** Moves to another unit of the rows shown: down the layer as it is ordered, then to the next row. */
function moveUnit(store: Store, model: Model, by: 1 | -1): void {
  const { view } = store;
  const on = view.cursor?.on;
  const keys = model.layers.flatMap((layer, at) =>
    layer.quantities.map((_, index) => ({ layer: at, quantity: index })).filter((one) => view.shown.has(keyOf(one.layer, one.quantity))),
  );
  if (keys.length === 0) return;
  const step = view.cursor?.step ?? Math.floor(view.from);
  const at = on ? keys.findIndex((one) => one.layer === on.layer && one.quantity === on.quantity) : -1;
  const place = (key: { layer: number; quantity: number }, last: boolean): Cursor => {
    const order = orderUnits(model.layers[key.layer]!, view.order);
    return { step, on: { ...key, unit: order[last ? order.length - 1 : 0]! } };
  };
  let cursor: Cursor;
  if (!on || at < 0) cursor = place(keys[0]!, false);
  else {
    const order = orderUnits(model.layers[on.layer]!, view.order);
    const row = order.indexOf(on.unit) + by;
    if (row >= 0 && row < order.length) cursor = { step, on: { ...on, unit: order[row]! } };
    else cursor = place(keys[(at + by + keys.length) % keys.length]!, by < 0);
  }
  store.set({ cursor });
}

export function listenToKeys(store: Store, model: Model, board: Board, help: () => void): void {
  const moveSample = (by: number): void => store.set({ sample: clamp(store.view.sample + by, 0, model.samples - 1) });
  const moveCursor = (by: number, extend: boolean): void => {
    const { cursor, selection, sample } = store.view;
    const old = cursor?.step ?? Math.floor(store.view.from) - (by > 0 ? 1 : 0);
    const step = clamp(old + by, 0, model.steps - 1);
    store.set({ cursor: { step, on: cursor?.on ?? null }, ...intoSight(store.view, { from: step, to: step }, model) });
    const at = cursor?.on;
    if (!extend || !at || !cursor) return;
    // The end of the selection where the cursor is moves; the other end stays.
    const mine = selection?.layer === at.layer && selection.quantity === at.quantity && selection.sample === sample;
    const other = !mine ? cursor.step : selection.to === cursor.step ? selection.from : selection.from === cursor.step ? selection.to : cursor.step;
    select(store, model, { layer: at.layer, quantity: at.quantity }, other, step);
  };

  // A heat map that is reached by Tab is the one that keys point into.
  board.element.addEventListener("focusin", (event) => {
    const row = event.target instanceof Element ? rowOf.get(event.target) : undefined;
    const on = store.view.cursor?.on;
    if (!row?.at || !(event.target as Element).matches(":focus-visible")) return;
    if (on?.layer === row.at.layer && on.quantity === row.at.quantity) return;
    const unit = on?.layer === row.at.layer ? on.unit : row.unitAt!(0, store.view);
    store.set({ cursor: { step: store.view.cursor?.step ?? Math.floor(store.view.from), on: { ...row.at, unit } } });
  });

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof HTMLElement ? event.target : null;
    if (target?.closest("dialog")) return;
    if (target?.matches("select, textarea, input:not([type=checkbox])") && event.key !== "Escape") return;
    const inList = target?.closest("[role=listbox]") != null;
    const page = 0.5 * (store.view.to - store.view.from);
    const actions: Record<string, () => void> = {
      ArrowLeft: () => (target?.id === "overview" ? pan(store, model, -page / 2) : moveCursor(-1, event.shiftKey)),
      ArrowRight: () => (target?.id === "overview" ? pan(store, model, page / 2) : moveCursor(1, event.shiftKey)),
      Home: () => moveCursor(-model.steps, false),
      End: () => moveCursor(model.steps, false),
      j: () => moveSample(1),
      k: () => moveSample(-1),
      n: () => moveUnit(store, model, 1),
      p: () => moveUnit(store, model, -1),
      "+": () => zoom(store, model, 0.5),
      "=": () => zoom(store, model, 0.5),
      "-": () => zoom(store, model, 2),
      "0": () => store.set({ from: 0, to: model.steps }),
      "?": help,
      Escape: () => store.set(store.view.unit ? { unit: null } : { selection: null }),
    };
    if (!inList) {
      actions["ArrowDown"] = () => moveSample(1);
      actions["ArrowUp"] = () => moveSample(-1);
    }
    if (target === null || !target.closest("button, input, a, label")) {
      actions["Enter"] = () => {
        const on = store.view.cursor?.on;
        if (on) store.set({ unit: { layer: on.layer, unit: on.unit } });
      };
    }
    const action = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
    if (!action) return;
    event.preventDefault();
    action();
    if (event.key.startsWith("Arrow") || "npjk".includes(event.key) || event.key === "Home" || event.key === "End") {
      speakCursor(model, store.view);
    }
  }, { signal: store.ended.signal });
}
