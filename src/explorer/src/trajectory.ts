/** The paths of all samples through the two directions in which a layer's state varies most. */

import { scaleLinear, type ScaleLinear } from "d3-scale";
import { legendElement, sizeCanvas, type Board } from "./board";
import { styleOf } from "./colours";
import { isReal, sampleName, valueAt, type Model, type ModelLayer } from "./data";
import { el } from "./dom";
import { goToPlace } from "./goto";
import type { Store, View } from "./state";

const SIZE = 260;
const MARGIN = 12;
/** How near a pointer comes to a step to point at it. */
const NEAR = 14;
/** More classes than this have no styles of their own. */
const CLASSES = 12;

interface Scales {
  x: ScaleLinear<number, number>;
  y: ScaleLinear<number, number>;
}

/** Both axes have one scale, or directions of little variance would look like those of much. */
function scalesOf(layer: ModelLayer): Scales {
  const [horizontal, vertical = [0, 0]] = layer.trajectory!.ranges as [[number, number], [number, number]?];
  const most = Math.max(horizontal[1] - horizontal[0], vertical[1] - vertical[0]) || 1;
  const around = ([low, high]: [number, number]): [number, number] => [(low + high - most) / 2, (low + high + most) / 2];
  return {
    x: scaleLinear(around(horizontal), [MARGIN, SIZE - MARGIN]),
    y: scaleLinear(around(vertical), [SIZE - MARGIN, MARGIN]),
  };
}

export function trajectoryPanel(store: Store, model: Model, board: Board): HTMLElement {
  const places = model.layers.map((_, at) => at).filter((at) => model.layers[at]!.trajectory);
  const choice = el("select", { id: "trajectory-layer", "aria-label": "Layer" });
  for (const at of places) choice.append(el("option", { value: at }, model.layers[at]!.address));
  const base = el("canvas", { role: "img", id: "trajectory" });
  const over = el("canvas", { class: "over", "aria-hidden": true });
  const about = el("p", { class: "hint" });
  const legend = el("p", {});
  const panel = el(
    "section", { class: "panel trajectory", "aria-label": "Trajectories" },
    el("h2", {}, "Trajectories ", choice), el("div", { class: "square" }, base, over), legend, about,
  );
  panel.hidden = places.length === 0;
  if (panel.hidden) return panel;

  const { classes = [], of = [] } = model.header.labels ?? {};
  const told = classes.length <= CLASSES ? classes : [];
  let layer = model.layers[store.view.trajectory]!;
  let scales = scalesOf(layer);
  const pointAt = (sample: number, step: number): [number, number] | null => {
    if (!isReal(layer.real, model.steps, sample, step)) return null;
    const { grid } = layer.trajectory!;
    return [scales.x(valueAt(grid, sample, step, 0)), scales.y(grid.columns > 1 ? valueAt(grid, sample, step, 1) : 0)];
  };
  const path = (ctx: CanvasRenderingContext2D, sample: number): void => {
    ctx.beginPath();
    let before = false;
    for (let step = 0; step < model.steps; step++) {
      const point = pointAt(sample, step);
      if (point) before ? ctx.lineTo(...point) : ctx.moveTo(...point);
      before = point !== null;
    }
    ctx.stroke();
  };
  const dot = (ctx: CanvasRenderingContext2D, point: [number, number], size: number): void => {
    ctx.beginPath();
    ctx.arc(...point, size, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
  };

  const paintAll = (): void => {
    const ctx = sizeCanvas(base, SIZE, SIZE);
    ctx.globalAlpha = 0.35;
    for (let sample = 0; sample < model.samples; sample++) {
      const { colour, dashed } = told.length > 0 ? styleOf(board.theme, of[sample]!) : { colour: board.theme.muted, dashed: false };
      ctx.strokeStyle = colour;
      ctx.setLineDash(dashed ? [5, 3] : []);
      path(ctx, sample);
    }
    ctx.globalAlpha = 1;
  };
  const paintOne = (view: View): void => {
    const ctx = sizeCanvas(over, SIZE, SIZE);
    ctx.lineWidth = 2;
    ctx.strokeStyle = board.theme.text;
    path(ctx, view.sample);
    const at = view.cursor && pointAt(view.sample, view.cursor.step);
    ctx.fillStyle = board.theme.accent;
    if (at) dot(ctx, at, 5);
    base.setAttribute("aria-label", `Trajectories of ${layer.trajectory!.quantity} in ${layer.address}; in front ${sampleName(model, view.sample)}`);
  };
  const choose = (): void => {
    choice.value = String(store.view.trajectory);
    layer = model.layers[store.view.trajectory]!;
    scales = scalesOf(layer);
    const [first = 0, second = 0] = layer.trajectory!.share;
    about.textContent =
      `${layer.trajectory!.quantity} along its two directions of most variance, ${Math.round(100 * first)} % and ` +
      `${Math.round(100 * second)} % of it. In front: the chosen sample. Click a path to choose another.`;
    legend.replaceChildren(legendElement({ lines: told.map((name, at) => ({ name, ...styleOf(board.theme, at) })) }));
    paintAll();
    paintOne(store.view);
  };

  const nearest = (event: MouseEvent, samples: number[]): { sample: number; step: number } | null => {
    const box = base.getBoundingClientRect();
    const scale = SIZE / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best: { sample: number; step: number } | null = null;
    let least = NEAR;
    for (const sample of samples) {
      for (let step = 0; step < model.steps; step++) {
        const point = pointAt(sample, step);
        const apart = point ? Math.hypot(point[0] - x, point[1] - y) : Infinity;
        if (apart < least) [least, best] = [apart, { sample, step }];
      }
    }
    return best;
  };
  base.addEventListener("pointermove", (event) => {
    const found = nearest(event, [store.view.sample]);
    if (found) store.set({ cursor: { step: found.step, on: store.view.cursor?.on ?? null } });
  });
  base.addEventListener("click", (event) => {
    const found = nearest(event, [...Array(model.samples).keys()]);
    if (found) goToPlace(store, model, { sample: found.sample, from: found.step, to: found.step }, store.view.cursor?.on ?? null);
  });
  choice.addEventListener("change", () => store.set({ trajectory: Number(choice.value) }));
  choose();
  let theme = board.theme;
  store.listen((view, changed) => {
    if (board.theme !== theme || changed.has("trajectory")) {
      theme = board.theme;
      choose();
    } else paintOne(view);
  });
  return panel;
}
