/** Takes the shown view away: as one picture, or as a table of its values. */

import { ticks } from "d3-array";
import type { Board } from "./board";
import { csvText } from "./csv";
import { labelOf, sampleName, versionName, type Model } from "./data";
import { plotWidth, xOf } from "./frame";
import { stepsShown } from "./heatmap";
import { FONT, shorten, type Legend } from "./row";
import type { Store, View } from "./state";

/** Heights of the line above a row, and of each further line that its legend takes. */
const [CAPTION, LINE] = [30, 18];

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser reads the blob after the click: freeing it at once would cut that short.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function fileName(model: Model, view: View, end: string): string {
  const parts = [sampleName(model, view.sample), versionName(model, view.version, view.base)];
  const short = (part: string): string => part.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
  const name = parts.map(short).filter(Boolean).join("-");
  return `states-${name || view.sample}.${end}`;
}

export function saveCsv(model: Model, view: View): void {
  save(new Blob([csvText(model, view)], { type: "text/csv;charset=utf-8" }), fileName(model, view, "csv"));
}

/** The lines of a legend that fit a width: names of lines, or null for a colour scale. */
function wrapLegend(ctx: CanvasRenderingContext2D, legend: Legend, width: number): number[][] | null {
  if ("ramp" in legend) return null;
  const rows: number[][] = [[]];
  let used = 0;
  legend.lines.forEach(({ name }, at) => {
    const needed = ctx.measureText(name).width + 38;
    if (used + needed > width && rows.at(-1)!.length > 0) {
      rows.push([]);
      used = 0;
    }
    rows.at(-1)!.push(at);
    used += needed;
  });
  return rows;
}

/** Draws a legend that ends at `right`, from the line above a row downwards. */
function paintLegend(
  ctx: CanvasRenderingContext2D, legend: Legend, rows: number[][] | null, right: number, text: string,
): void {
  if ("ramp" in legend) {
    const width = 140;
    const left = right - width - 8 - ctx.measureText(legend.marks[2]).width;
    const y = CAPTION / 2;
    for (let x = 0; x < width; x++) {
      ctx.fillStyle = legend.ramp(x / (width - 1));
      ctx.fillRect(left + x, y - 5, 1.5, 10);
    }
    ctx.fillStyle = text;
    ctx.textAlign = "right";
    ctx.fillText(legend.marks[0], left - 6, y);
    ctx.textAlign = "left";
    ctx.fillText(legend.marks[2], left + width + 6, y);
    return;
  }
  ctx.textAlign = "right";
  rows?.forEach((row, line) => {
    let x = right;
    const y = CAPTION / 2 + line * LINE;
    for (const at of [...row].reverse()) {
      const { name, colour, dashed } = legend.lines[at]!;
      ctx.fillStyle = text;
      ctx.fillText(name, x, y);
      x -= ctx.measureText(name).width + 24;
      ctx.strokeStyle = colour;
      ctx.lineWidth = 2;
      ctx.setLineDash(dashed ? [4, 3] : []);
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x + 18, y);
      ctx.stroke();
      ctx.setLineDash([]);
      x -= 14;
    }
  });
}

export function savePng(model: Model, store: Store, board: Board): void {
  const { view } = store;
  const { frame, theme, rows } = board;
  const [head, axis] = [56, 30];
  const canvas = document.createElement("canvas");
  const measure = canvas.getContext("2d")!;
  measure.font = FONT;
  const parts = rows.map(({ row, heading }) => {
    const legend = row.legend(theme);
    const wrapped = legend && wrapLegend(measure, legend, 0.6 * frame.width);
    const caption = CAPTION + LINE * Math.max(0, (wrapped?.length ?? 1) - 1);
    return { row, heading, legend, wrapped, caption };
  });
  const height = head + axis + parts.reduce((sum, { row, caption }) => sum + caption + row.height, 0);
  // Browsers draw no canvas that is higher than this.
  const scale = Math.min(2, 16_000 / height);
  canvas.width = frame.width * scale;
  canvas.height = height * scale;
  const ctx = canvas.getContext("2d")!;
  ctx.scale(scale, scale);
  ctx.fillStyle = theme.back;
  ctx.fillRect(0, 0, frame.width, height);
  ctx.fillStyle = theme.text;
  ctx.textBaseline = "middle";
  ctx.font = `bold ${FONT}`;
  ctx.fillText(shorten(ctx, model.header.title, frame.width - 16), 8, 16);
  ctx.font = FONT;
  const label = labelOf(model, view.sample);
  const facts = [versionName(model, view.version, view.base), `${sampleName(model, view.sample)}${label ? ` (${label})` : ""}`, stepsShown(model, view)];
  const what = facts.filter(Boolean).join(", ");
  ctx.fillText(shorten(ctx, what, frame.width - 16), 8, 36);
  ctx.translate(0, head);
  for (const { row, heading, legend, wrapped, caption } of parts) {
    ctx.font = FONT;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.fillStyle = theme.text;
    const title = heading && row.at ? `${row.title}, ${heading}` : row.title;
    ctx.fillText(shorten(ctx, title, 0.38 * frame.width), 8, CAPTION / 2);
    if (legend) paintLegend(ctx, legend, wrapped, frame.width - frame.right, theme.text);
    ctx.translate(0, caption);
    ctx.save();
    row.paint(ctx, frame, view, theme);
    ctx.restore();
    ctx.save();
    row.overlay(ctx, frame, view, theme);
    ctx.restore();
    ctx.translate(0, row.height);
  }
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.fillStyle = theme.muted;
  for (const step of ticks(view.from, view.to - 1, Math.max(1, Math.floor(plotWidth(frame) / 60)))) {
    const x = xOf(frame, step + 0.5);
    if (Number.isInteger(step) && x >= frame.left) ctx.fillText(String(model.header.steps[step] ?? ""), x, 8);
  }
  canvas.toBlob((blob) => {
    if (blob) save(blob, fileName(model, view, "png"));
  }, "image/png");
}
