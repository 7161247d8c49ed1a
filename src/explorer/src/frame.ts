/** Where a step lies on the screen: the one time axis that all rows share. */

import type { View } from "./state";

export interface Frame {
  /** In CSS pixels, as everything here. */
  width: number;
  /** The gutter with the rows' numbers. */
  left: number;
  right: number;
  from: number;
  to: number;
}

export function frameOf(width: number, view: View): Frame {
  return { width, left: width < 500 ? 38 : 46, right: 6, from: view.from, to: view.to };
}

export function plotWidth(frame: Frame): number {
  return Math.max(1, frame.width - frame.left - frame.right);
}

export function stepWidth(frame: Frame): number {
  return plotWidth(frame) / (frame.to - frame.from);
}

/** The left edge of a step; its middle is at `step + 0.5`. */
export function xOf(frame: Frame, step: number): number {
  return frame.left + (step - frame.from) * stepWidth(frame);
}

export function stepAt(frame: Frame, x: number): number {
  return frame.from + (x - frame.left) / stepWidth(frame);
}

/** Keeps what is drawn within the plot: zoomed content must not run into the gutter. */
export function clipPlot(ctx: CanvasRenderingContext2D, frame: Frame, height: number): void {
  ctx.beginPath();
  ctx.rect(frame.left, 0, plotWidth(frame), height);
  ctx.clip();
}
