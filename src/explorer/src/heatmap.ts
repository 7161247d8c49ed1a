/** A heat map: units as rows, steps as columns. */

import { range } from "d3-array";
import { hatching, pixelsOf, rampOf, type Theme } from "./colours";
import { isReal, sampleName, type Matrix, type Model, type ModelLayer } from "./data";
import { clamp, digits, plural } from "./dom";
import { clipPlot, plotWidth, stepWidth, xOf, type Frame } from "./frame";
import { FONT, type Legend, type Row } from "./row";
import { keyOf, type Order, type View } from "./state";
import { paintCursor, paintRange } from "./marks";

/** Places of a layer's units from the top down. */
export function orderUnits(layer: ModelLayer, order: Order): number[] {
  return order === "alike" ? layer.alike : order === "memory" ? layer.by_memory : range(layer.units.length);
}

/** Fewer units get taller rows; 500 get a pixel each. */
function unitHeight(units: number): number {
  if (units <= 2) return 22;
  if (units <= 12) return 14;
  return Math.max(1, Math.min(14, Math.round(190 / units)));
}

/** Values drawn once per sample, order and scheme at one pixel each; zooming only stretches them. */
class Picture {
  private key = "";
  private canvas = document.createElement("canvas");
  private pixels: { dark: boolean; of: (value: number) => number } | null = null;

  constructor(private matrix: Matrix) {}

  of(sample: number, order: number[], orderName: string, dark: boolean): HTMLCanvasElement {
    const key = `${sample} ${orderName} ${dark}`;
    if (key === this.key) return this.canvas;
    this.key = key;
    const { grid, real } = this.matrix;
    if (this.pixels?.dark !== dark) this.pixels = { dark, of: pixelsOf(this.matrix.statistics(), dark) };
    const colour = this.pixels.of;
    this.canvas.width = grid.steps;
    this.canvas.height = grid.columns;
    const ctx = this.canvas.getContext("2d")!;
    const image = ctx.createImageData(grid.steps, grid.columns);
    const target = new Uint32Array(image.data.buffer);
    for (let step = 0; step < grid.steps; step++) {
      const row = sample * grid.steps + step;
      if (real !== null && real[row] !== 1) continue;
      for (let y = 0; y < grid.columns; y++) {
        target[y * grid.steps + step] = colour(grid.values[row * grid.columns + order[y]!]!);
      }
    }
    ctx.putImageData(image, 0, 0);
    return this.canvas;
  }
}

export function legendOf(matrix: Matrix, theme: Theme): Legend {
  const statistics = matrix.statistics();
  const { low, high, diverging } = statistics.colours;
  const beyondLow = statistics.min < low - 1e-9 ? "≤ " : "";
  const beyondHigh = statistics.max > high + 1e-9 ? "≥ " : "";
  const middle = diverging ? 0 : (low + high) / 2;
  return {
    ramp: rampOf(statistics, theme.dark),
    marks: [beyondLow + digits(low), digits(middle), beyondHigh + digits(high)],
  };
}

function nameStyle(ctx: CanvasRenderingContext2D, weight = ""): void {
  ctx.font = weight + FONT;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
}

/** Paints any matrix as a heat map, with the names of its rows in the gutter where they fit. */
export class HeatMap {
  readonly height: number;
  private picture: Picture;
  private perUnit: number;

  constructor(private matrix: Matrix, private names: string[]) {
    this.picture = new Picture(matrix);
    this.perUnit = unitHeight(matrix.grid.columns);
    this.height = this.perUnit * matrix.grid.columns;
  }

  placeAt(y: number): number {
    return clamp(Math.floor(y / this.perUnit), 0, this.matrix.grid.columns - 1);
  }

  paint(ctx: CanvasRenderingContext2D, frame: Frame, view: View, theme: Theme, order: number[]): void {
    const { steps } = this.matrix.grid;
    ctx.save();
    clipPlot(ctx, frame, this.height);
    ctx.fillStyle = hatching(ctx, theme);
    ctx.fillRect(frame.left, 0, plotWidth(frame), this.height);
    // Steps narrower than a pixel are averaged: taking every n-th would hide the others.
    ctx.imageSmoothingEnabled = stepWidth(frame) * devicePixelRatio < 1;
    const picture = this.picture.of(view.sample, order, view.order, theme.dark);
    const left = xOf(frame, 0);
    ctx.drawImage(picture, left, 0, xOf(frame, steps) - left, this.height);
    ctx.restore();
    ctx.fillStyle = theme.muted;
    nameStyle(ctx);
    for (const row of this.namedRows()) {
      ctx.fillText(this.names[order[row]!]!, frame.left - 6, this.nameY(row), frame.left - 8);
    }
  }

  /** The rows that have room for a name. */
  private namedRows(): number[] {
    const { columns } = this.matrix.grid;
    const every = this.perUnit >= 14 ? 1 : Math.ceil(16 / this.perUnit);
    return range(Math.floor(Math.min(every, columns) / 2), columns, every);
  }

  private nameY(row: number): number {
    return clamp((row + 0.5) * this.perUnit, 7, this.height - 6);
  }

  /**
   * The visible parts without padding, from x to x. Padding is the same for all units: a veil over
   * some of it would look like a value.
   */
  private realSpans(frame: Frame, view: View): [number, number][] {
    const { real, grid } = this.matrix;
    const [first, last] = [Math.floor(view.from), Math.min(grid.steps, Math.ceil(view.to))];
    const spans: [number, number][] = [];
    for (let step = first; step < last; step++) {
      if (!isReal(real, grid.steps, view.sample, step)) continue;
      const start = step;
      while (step + 1 < last && isReal(real, grid.steps, view.sample, step + 1)) step++;
      spans.push([Math.max(frame.left, xOf(frame, start)), Math.min(frame.width - frame.right, xOf(frame, step + 1))]);
    }
    return spans;
  }

  /** Veils all rows but the chosen ones, and outlines the unit under the cursor. */
  mark(
    ctx: CanvasRenderingContext2D, frame: Frame, view: View, theme: Theme, order: number[],
    chosen: ReadonlySet<number> | null, pointed: number | null,
  ): void {
    const { left } = frame;
    const width = plotWidth(frame);
    if (chosen !== null) {
      const spans = this.realSpans(frame, view);
      order.forEach((unit, row) => {
        const y = row * this.perUnit;
        ctx.fillStyle = chosen.has(unit) ? theme.accent : theme.veil;
        if (chosen.has(unit)) ctx.fillRect(left - 5, y, 4, this.perUnit);
        else for (const [start, end] of spans) ctx.fillRect(start, y, end - start, this.perUnit);
      });
    }
    if (pointed !== null) {
      const row = order.indexOf(pointed);
      const y = row * this.perUnit;
      ctx.strokeStyle = theme.text;
      ctx.lineWidth = 1;
      ctx.strokeRect(left + 0.5, y - 0.5, width - 1, this.perUnit + 1);
      // Its name takes the place of those that would be in its way.
      const middle = this.nameY(row);
      ctx.fillStyle = theme.back;
      for (const named of this.namedRows()) {
        const at = this.nameY(named);
        if (Math.abs(at - middle) < 13) ctx.fillRect(0, at - 7, left - 5, 14);
      }
      ctx.fillStyle = theme.text;
      nameStyle(ctx, "bold ");
      ctx.fillText(this.names[pointed]!, left - 6, middle, left - 8);
    }
  }
}

export function layerRow(model: Model, layerAt: number, quantityAt: number): Row {
  const layer = model.layers[layerAt]!;
  const matrix = layer.quantities[quantityAt]!;
  const map = new HeatMap(matrix, layer.units.map(String));
  const orders = new Map<Order, number[]>();
  const orderOf = (view: View): number[] => {
    if (!orders.has(view.order)) orders.set(view.order, orderUnits(layer, view.order));
    return orders.get(view.order)!;
  };
  return {
    id: keyOf(layerAt, quantityAt),
    title: matrix.title,
    height: map.height,
    at: { layer: layerAt, quantity: quantityAt },
    unitAt: (y, view) => orderOf(view)[map.placeAt(y)]!,
    describe: (view) =>
      `Heat map of ${matrix.title} in layer ${layer.address}, ${plural(layer.units.length, "unit")}, ` +
      `${sampleName(model, view.sample)}, ${stepsShown(model, view)}`,
    legend: (theme) => legendOf(matrix, theme),
    paint: (ctx, frame, view, theme) => map.paint(ctx, frame, view, theme, orderOf(view)),
    overlay(ctx, frame, view, theme) {
      ctx.save();
      const { selection, cursor } = view;
      const chosen = selection?.layer === layerAt && view.selected.length > 0 ? new Set(view.selected) : null;
      const pointed = cursor?.on?.layer === layerAt ? cursor.on.unit : null;
      map.mark(ctx, frame, view, theme, orderOf(view), chosen, pointed);
      clipPlot(ctx, frame, map.height);
      if (selection?.layer === layerAt && selection.quantity === quantityAt) {
        for (const match of view.matches) {
          if (match.sample === view.sample) paintRange(ctx, frame, theme, match, map.height, true);
        }
      }
      paintCursor(ctx, frame, view, theme, map.height);
      ctx.restore();
    },
  };
}

export function stepsShown(model: Model, view: View): string {
  const first = model.header.steps[Math.floor(view.from)];
  const last = model.header.steps[Math.min(model.steps, Math.ceil(view.to)) - 1];
  return first === last ? `step ${first}` : `steps ${first} to ${last}`;
}
