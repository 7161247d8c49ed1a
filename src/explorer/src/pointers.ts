/** Mouse and touch on the rows: they point, select steps, zoom and move along the axis. */

import { rowOf, type Board } from "./board";
import { pan, select, zoom } from "./cursor";
import type { Model } from "./data";
import { clamp } from "./dom";
import { stepAt, stepWidth } from "./frame";
import type { Row } from "./row";
import { visible, type Cursor, type Store } from "./state";

/** How far a pointer moves before a press is a drag. */
const SLACK = 4;

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
