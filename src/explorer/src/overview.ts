/** The whole sequence with the visible part marked, and below it the axis of the visible part. */

import { ticks } from "d3-array";
import type { Board } from "./board";
import { sizeCanvas } from "./board";
import { hatching } from "./colours";
import { isReal, type Model } from "./data";
import { clamp, el } from "./dom";
import { plotWidth, xOf, type Frame } from "./frame";
import { FONT } from "./row";
import { stepsShown } from "./heatmap";
import { visible, type Store } from "./state";

const BAR = 16;
const HEIGHT = BAR + 26;
/** How near to an edge of the visible part a drag takes hold of that edge. */
const GRIP = 10;

export function overview(store: Store, model: Model, board: Board): HTMLElement {
  const canvas = el("canvas", {
    id: "overview", tabindex: 0, role: "slider", "aria-label": "Visible steps",
    "aria-valuemin": model.header.steps[0] ?? 0, "aria-valuemax": model.header.steps.at(-1) ?? 0,
  });
  const bar = el("div", { class: "overview" }, canvas);
  bar.style.height = `${HEIGHT}px`;
  const whole = (): Frame => ({ ...board.frame, from: 0, to: model.steps });

  const paint = (): void => {
    const { view } = store;
    const { theme, frame } = board;
    const ctx = sizeCanvas(canvas, frame.width, HEIGHT);
    const all = whole();
    const width = plotWidth(frame);
    ctx.fillStyle = theme.line;
    ctx.fillRect(frame.left, 2, width, BAR - 4);
    ctx.fillStyle = hatching(ctx, theme);
    for (let step = 0; model.real !== null && step < model.steps; step++) {
      if (isReal(model.real, model.steps, view.sample, step)) continue;
      ctx.fillRect(xOf(all, step), 2, width / model.steps + 0.5, BAR - 4);
    }
    ctx.fillStyle = theme.accent;
    const marks = view.matches.filter(({ sample }) => sample === view.sample);
    for (const { from, to } of marks) ctx.fillRect(xOf(all, from), BAR - 6, Math.max(2, xOf(all, to + 1) - xOf(all, from)), 4);
    if (view.selection?.sample === view.sample) {
      const { from, to } = view.selection;
      ctx.fillRect(xOf(all, from), 2, Math.max(2, xOf(all, to + 1) - xOf(all, from)), BAR - 4);
    }
    if (view.cursor) {
      ctx.fillStyle = theme.text;
      ctx.fillRect(xOf(all, view.cursor.step + 0.5) - 0.5, 0, 1, BAR);
    }
    ctx.strokeStyle = theme.text;
    ctx.lineWidth = 2;
    ctx.strokeRect(xOf(all, view.from), 1, xOf(all, view.to) - xOf(all, view.from), BAR - 2);

    ctx.font = FONT;
    ctx.textBaseline = "top";
    ctx.textAlign = "center";
    const label = (step: number): string => String(model.header.steps[step]);
    const room = ctx.measureText(label(model.steps - 1)).width + 16;
    for (const step of ticks(view.from, view.to - 1, Math.max(1, Math.floor(width / Math.max(room, 48))))) {
      if (!Number.isInteger(step) || step < 0 || step >= model.steps) continue;
      const x = xOf(frame, step + 0.5);
      if (x < frame.left || x > frame.width - frame.right) continue;
      ctx.fillStyle = theme.muted;
      ctx.fillRect(x, BAR + 2, 1, 5);
      const half = ctx.measureText(label(step)).width / 2;
      ctx.fillText(label(step), clamp(x, half, frame.width - half), BAR + 9);
    }
    ctx.textAlign = "right";
    ctx.fillText("step", frame.left - 6, BAR + 9);
    canvas.setAttribute("aria-valuenow", label(Math.floor(view.from)));
    canvas.setAttribute("aria-valuetext", stepsShown(model, view));
  };

  // A drag takes hold of an edge, or moves the visible part; a press outside it brings it there.
  let hold: { edge: "from" | "to" | null; at: number; from: number; to: number } | null = null;
  const stepOf = (event: PointerEvent): number => {
    const all = whole();
    return ((event.clientX - canvas.getBoundingClientRect().left - all.left) / plotWidth(all)) * model.steps;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const at = stepOf(event);
    const { from, to } = store.view;
    const grip = (GRIP / plotWidth(board.frame)) * model.steps;
    const edge = Math.abs(at - from) < grip ? "from" : Math.abs(at - to) < grip ? "to" : null;
    hold = { edge, at, from, to };
    if (edge === null && (at < from || at > to)) {
      const moved = visible(at - (to - from) / 2, at + (to - from) / 2, model.steps);
      hold = { edge, at, ...moved };
      store.set(moved);
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (hold === null) return;
    const by = stepOf(event) - hold.at;
    const { from, to, edge } = hold;
    const least = Math.min(5, model.steps);
    if (edge === "from") store.set({ from: clamp(from + by, 0, to - least) });
    else if (edge === "to") store.set({ to: clamp(to + by, from + least, model.steps) });
    else store.set(visible(from + by, to + by, model.steps));
  });
  const release = (): void => void (hold = null);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  new ResizeObserver(paint).observe(bar);
  store.listen(paint);
  return bar;
}
