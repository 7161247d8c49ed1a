/** Whose memory a state is: what each step wrote of it, and every gate since has left. */

import { max } from "d3-array";
import type { Theme } from "./colours";
import { isReal, sampleName, valueAt, type Model, type ModelLayer } from "./data";
import { digits } from "./dom";
import { clipPlot, plotWidth, stepWidth, xOf, type Frame } from "./frame";
import { paintCursor } from "./marks";
import { FONT, type Row } from "./row";
import { keyOf, type View } from "./state";

const HEIGHT = 64;

/**
 * What each step contributes to the state of a unit at `until`, NaN where it can't contribute.
 *
 * Step s contributes what it wrote times the gates of all steps after it. All contributions and
 * what is left of the start, which a page doesn't have, are the state.
 */
export function contributions(layer: ModelLayer, sample: number, unit: number, until: number): number[] {
  const { kept, written } = layer.memory!;
  const by = layer.backwards ? 1 : -1;
  const found = new Array<number>(kept.steps).fill(NaN);
  let left = 1;
  for (let step = until; step >= 0 && step < kept.steps; step += by) {
    if (!isReal(layer.real, kept.steps, sample, step)) continue; // keeps all, writes nothing
    found[step] = left * valueAt(written, sample, step, unit);
    left *= valueAt(kept, sample, step, unit);
  }
  return found;
}

/** The contributions to an open unit's state at the cursor, as bars on the time axis. */
export function memoryRow(model: Model, layerAt: number, unit: number): Row {
  const layer = model.layers[layerAt]!;
  const name = layer.memory!.state;
  const title = `Whose memory: what is left, at the cursor, of what each step wrote into ${name} ${layer.units[unit]}`;
  return {
    id: `memory-${keyOf(layerAt, unit)}`,
    title,
    height: HEIGHT,
    at: null,
    describe: (view) => `${title}, ${sampleName(model, view.sample)}`,
    legend: () => null,
    paint(ctx: CanvasRenderingContext2D, frame: Frame, _: View, theme: Theme) {
      ctx.fillStyle = theme.line;
      ctx.fillRect(frame.left, HEIGHT / 2, plotWidth(frame), 1);
    },
    overlay(ctx, frame, view, theme) {
      if (view.cursor === null) return;
      const found = contributions(layer, view.sample, unit, view.cursor.step);
      const most = max(found, Math.abs) ?? 0;
      const width = Math.max(1, stepWidth(frame) - 1);
      ctx.save();
      clipPlot(ctx, frame, HEIGHT);
      found.forEach((value, step) => {
        const height = (value / (most || 1)) * (HEIGHT / 2 - 3);
        ctx.fillStyle = value < 0 ? theme.lines[0]! : theme.lines[1]!;
        if (!Number.isNaN(value)) ctx.fillRect(xOf(frame, step), HEIGHT / 2 - Math.max(height, 0), width, Math.abs(height));
      });
      paintCursor(ctx, frame, view, theme, HEIGHT);
      ctx.restore();
      // What the highest bar stands for: this scale follows the cursor, unlike that of other rows.
      ctx.fillStyle = theme.muted;
      ctx.font = FONT;
      ctx.textAlign = "right";
      ctx.textBaseline = "middle";
      ctx.fillText(`±${digits(most)}`, frame.left - 6, 8, frame.left - 8);
    },
  };
}
