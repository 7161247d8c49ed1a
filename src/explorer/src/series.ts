/** Line charts along the steps: inputs, outputs, targets, and one unit's quantities. */

import { range } from "d3-array";
import { scaleLinear } from "d3-scale";
import { hatching, styleOf, type Theme } from "./colours";
import { isReal, sampleName, shownValue, type Matrix, type Model, type ModelSeries } from "./data";
import { digits } from "./dom";
import { histogram } from "./histogram";
import { clipPlot, plotWidth, stepWidth, xOf, type Frame } from "./frame";
import { HeatMap, legendOf, stepsShown } from "./heatmap";
import { paintCursor } from "./marks";
import { FONT, type Legend, type Row } from "./row";
import { keyOf, type View } from "./state";

const HEIGHT = 84;
/** The height of one quantity in the row of a unit. */
const BAND = 54;

/** One line: a column of a matrix. */
interface Line {
  name: string;
  matrix: Matrix;
  column: number;
}

/** Padding of the sample, hatched, as far as the row reaches. */
function paintPadding(
  ctx: CanvasRenderingContext2D, frame: Frame, theme: Theme,
  real: Uint8Array | null, steps: number, sample: number, height: number,
): void {
  if (real === null) return;
  ctx.fillStyle = hatching(ctx, theme);
  const width = stepWidth(frame);
  for (let step = Math.floor(frame.from); step < frame.to; step++) {
    if (!isReal(real, steps, sample, step)) ctx.fillRect(xOf(frame, step), 0, width + 0.5, height);
  }
}

/** Paints lines of one scale into a band of some height; `first` is the first line's place in the colours. */
function paintLines(
  ctx: CanvasRenderingContext2D, frame: Frame, view: View, theme: Theme,
  lines: Line[], domain: [number, number], height: number, first = 0,
): void {
  const { real, grid } = lines[0]!.matrix;
  const y = scaleLinear(domain, [height - 8, 8]);
  // A band is too low to give room away for round ends.
  if (height === HEIGHT) y.nice(3);
  ctx.font = FONT;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  const count = height < HEIGHT ? 2 : 3;
  for (const tick of y.ticks(count)) {
    ctx.fillStyle = theme.muted;
    const text = Math.max(...domain.map(Math.abs)) < 1e-3 ? digits(tick) : y.tickFormat(count)(tick);
    ctx.fillText(text, frame.left - 6, y(tick), frame.left - 8);
    ctx.fillStyle = theme.line;
    ctx.fillRect(frame.left, Math.round(y(tick)), plotWidth(frame), 1);
  }
  ctx.save();
  clipPlot(ctx, frame, height);
  paintPadding(ctx, frame, theme, real, grid.steps, view.sample, height);
  const [start, end] = [Math.max(0, Math.floor(view.from) - 1), Math.min(grid.steps, Math.ceil(view.to) + 1)];
  const dots = stepWidth(frame) >= 14;
  lines.forEach(({ matrix, column }, at) => {
    const { colour, dashed } = styleOf(theme, first + at);
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.lineWidth = 1.5;
    ctx.setLineDash(dashed ? [5, 3] : []);
    ctx.beginPath();
    let before = false;
    for (let step = start; step < end; step++) {
      const value = shownValue(matrix, view.sample, step, column);
      const drawn = !Number.isNaN(value);
      if (drawn) {
        const x = xOf(frame, step + 0.5);
        if (before) ctx.lineTo(x, y(value));
        else ctx.moveTo(x, y(value));
        // A step between gaps has no line to be seen by.
        const alone = !before && Number.isNaN(shownValue(matrix, view.sample, step + 1, column));
        if (dots || alone) ctx.fillRect(x - 2, y(value) - 2, 4, 4);
      }
      before = drawn;
    }
    ctx.stroke();
  });
  ctx.restore();
}

function linesLegend(theme: Theme, lines: Line[]): Legend {
  return { lines: lines.map(({ name }, at) => ({ name, ...styleOf(theme, at) })) };
}

/**
 * The range that most values of all samples lie in, so that samples compare, and all of this
 * sample's values: extremes elsewhere must not flatten its lines.
 */
function usualRange(matrix: Matrix, sample: number): [number, number] {
  const { quantile } = matrix.statistics();
  let [low, high] = [quantile(0.05), quantile(0.95)];
  for (let step = 0; step < matrix.grid.steps; step++) {
    for (let column = 0; column < matrix.grid.columns; column++) {
      const value = shownValue(matrix, sample, step, column);
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return widen(low, high);
}

/** A chart of one value only still needs an axis. */
function widen(low: number, high: number): [number, number] {
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

/** Up to a dozen features can be told apart as lines; more make a heat map. */
export function seriesRow(model: Model, series: ModelSeries, at: number): Row {
  const { features } = series;
  const describe = (view: View): string =>
    `${series.title}, ${features.slice(0, 12).join(", ")}, ` +
    `${sampleName(model, view.sample)}, ${stepsShown(model, view)}`;
  const base = { id: `series-${at}`, title: series.title, at: null, describe };
  if (features.length > 12) {
    const map = new HeatMap(series, features);
    const order = range(features.length);
    return {
      ...base,
      height: map.height,
      legend: (theme) => legendOf(series, theme),
      paint: (ctx, frame, view, theme) => map.paint(ctx, frame, view, theme, order),
      overlay: (ctx, frame, view, theme) => paintClipped(ctx, frame, view, theme, map.height),
    };
  }
  const lines = features.map((name, column): Line => ({ name, matrix: series, column }));
  return {
    ...base,
    height: HEIGHT,
    legend: (theme) => linesLegend(theme, lines),
    paint: (ctx, frame, view, theme) => paintLines(ctx, frame, view, theme, lines, usualRange(series, view.sample), HEIGHT),
    overlay: (ctx, frame, view, theme) => paintClipped(ctx, frame, view, theme, HEIGHT),
  };
}

/**
 * All quantities of one unit, a band each: shown on the common axis while the unit's page is open.
 * Each has its own scale, as a cell state may be many times as large as a gate.
 */
export function unitRow(model: Model, layerAt: number, unit: number): Row {
  const layer = model.layers[layerAt]!;
  const lines = layer.quantities.map((matrix): Line => ({ name: matrix.title, matrix, column: unit }));
  const ranges = layer.quantities.map((matrix) => {
    const { low, high } = histogram(matrix, unit);
    return widen(low, high);
  });
  const title = `Unit ${layer.units[unit]} of ${layer.address}`;
  const height = BAND * lines.length;
  return {
    id: `unit-${keyOf(layerAt, unit)}`,
    title,
    height,
    at: null,
    describe: (view) =>
      `${title}: ${lines.map(({ name }) => name).join(", ")}, ` +
      `${sampleName(model, view.sample)}, ${stepsShown(model, view)}`,
    legend: (theme) => linesLegend(theme, lines),
    paint(ctx, frame, view, theme) {
      lines.forEach((line, at) => {
        ctx.save();
        ctx.translate(0, BAND * at);
        paintLines(ctx, frame, view, theme, [line], ranges[at]!, BAND, at);
        ctx.restore();
      });
    },
    overlay: (ctx, frame, view, theme) => paintClipped(ctx, frame, view, theme, height),
  };
}

export function paintClipped(
  ctx: CanvasRenderingContext2D, frame: Frame, view: View, theme: Theme, height: number,
): void {
  ctx.save();
  clipPlot(ctx, frame, height);
  paintCursor(ctx, frame, view, theme, height);
  ctx.restore();
}
