/** Mouse, touch and keys on the rows: cursor, zoom of the time axis, selection of steps. */

import { rowOf, type Board } from "./board";
import type { Model } from "./data";
import { clamp } from "./dom";
import { stepAt, stepWidth } from "./frame";
import { orderUnits } from "./heatmap";
import { speakCursor } from "./readout";
import type { Row } from "./row";
import { firstThreshold, intoSight } from "./select";
import { keyOf, window as visible, type Cursor, type Selection, type Store } from "./state";

/** How far a pointer moves before a press is a drag. */
const SLACK = 4;

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
function select(store: Store, model: Model, at: { layer: number; quantity: number }, a: number, b: number): void {
  const { selection, sample } = store.view;
  const old = selection?.layer === at.layer && selection.quantity === at.quantity ? selection : null;
  const { before, after } = selection ?? { before: false, after: false };
  const threshold = old?.threshold ?? firstThreshold(model.layers[at.layer]!.quantities[at.quantity]!);
  const next: Selection = { ...at, sample, from: Math.min(a, b), to: Math.max(a, b), threshold, before, after };
  const same = old && old.sample === sample && old.from === next.from && old.to === next.to;
  if (!same) store.set({ selection: next });
}

export function listenToPointers(store: Store, model: Model, board: Board): void {
  const plotOf = (event: Event): HTMLElement | null =>
    event.target instanceof Element ? event.target.closest<HTMLElement>(".plot") : null;
  const xIn = (plot: Element, event: { clientX: number }): number => event.clientX - plot.getBoundingClientRect().left;
  const stepIn = (plot: Element, event: { clientX: number }): number =>
    clamp(Math.floor(stepAt(board.frame, xIn(plot, event))), Math.floor(store.view.from), Math.ceil(store.view.to) - 1);
  const cursorIn = (plot: Element, row: Row, event: PointerEvent): Cursor => {
    const y = event.clientY - plot.getBoundingClientRect().top;
    return { step: stepIn(plot, event), on: row.at && { ...row.at, unit: row.unitAt!(y, store.view) } };
  };

  interface Press {
    plot: HTMLElement;
    row: Row;
    x: number;
    step: number;
    from: number;
    to: number;
    moved: boolean;
  }
  let press: Press | null = null;
  const touches = new Map<number, number>();
  let pinch: { apart: number; middle: number; from: number; to: number } | null = null;

  const element = board.element;
  element.addEventListener("pointerdown", (event) => {
    const plot = plotOf(event);
    const row = plot && rowOf.get(plot);
    if (!plot || !row || event.button !== 0) return;
    plot.setPointerCapture(event.pointerId);
    touches.set(event.pointerId, event.clientX);
    const { from, to } = store.view;
    if (touches.size === 2) {
      const [a = 0, b = 0] = touches.values();
      const middle = stepAt(board.frame, xIn(plot, { clientX: (a + b) / 2 }));
      pinch = { apart: Math.max(10, Math.abs(a - b)), middle, from, to };
      press = null;
      return;
    }
    press = { plot, row, x: event.clientX, step: stepIn(plot, event), from, to, moved: false };
  });

  element.addEventListener("pointermove", (event) => {
    if (touches.has(event.pointerId)) touches.set(event.pointerId, event.clientX);
    if (pinch && touches.size === 2) {
      const [a = 0, b = 0] = touches.values();
      const factor = pinch.apart / Math.max(10, Math.abs(a - b));
      const { middle, from, to } = pinch;
      store.set(visible(middle - (middle - from) * factor, middle + (to - middle) * factor, model.steps));
      return;
    }
    const plot = press?.plot ?? plotOf(event);
    const row = plot && rowOf.get(plot);
    if (!plot || !row) return;
    if (press === null) {
      if (event.pointerType !== "touch") store.set({ cursor: cursorIn(plot, row, event) });
      return;
    }
    if (!press.moved && Math.abs(event.clientX - press.x) < SLACK) return;
    press.moved = true;
    if (row.at && store.view.dragSelects) {
      store.set({ cursor: cursorIn(plot, row, event) });
      select(store, model, row.at, press.step, stepIn(plot, event));
    } else {
      const by = (press.x - event.clientX) / stepWidth(board.frame);
      store.set(visible(press.from + by, press.to + by, model.steps));
    }
  });

  element.addEventListener("pointerup", (event) => {
    touches.delete(event.pointerId);
    if (touches.size < 2) pinch = null;
    if (press && !press.moved) {
      const { plot, row } = press;
      const cursor = cursorIn(plot, row, event);
      store.set({ cursor });
      // A tap only points: a finger has no other way to. The readout opens the unit.
      if (cursor.on && event.pointerType !== "touch") {
        store.set({ unit: { layer: cursor.on.layer, unit: cursor.on.unit } });
      }
    }
    press = null;
  });
  element.addEventListener("pointercancel", (event) => {
    touches.delete(event.pointerId);
    press = pinch = null;
  });

  // The bare wheel scrolls the page, which is longer than the screen; over the axis it zooms.
  const wheel = (bare: boolean) => (event: WheelEvent): void => {
    const target = event.currentTarget as HTMLElement;
    const over = bare ? target : plotOf(event);
    if (!over) return;
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (sideways) {
      pan(store, model, (event.deltaX || event.deltaY) / stepWidth(board.frame));
    } else if (bare || event.ctrlKey || event.metaKey) {
      zoom(store, model, 2 ** clamp(event.deltaY / 250, -1, 1), stepAt(board.frame, xIn(over, event)));
    } else return;
    event.preventDefault();
  };
  element.addEventListener("wheel", wheel(false), { passive: false });
  document.querySelector(".overview")?.addEventListener("wheel", wheel(true) as EventListener, { passive: false });
}

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
  });
}
