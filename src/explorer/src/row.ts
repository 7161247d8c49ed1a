/** What a row of the picture is: it paints itself into any context, on the screen or for a file. */

import type { Theme } from "./colours";
import type { Frame } from "./frame";
import type { View } from "./state";

/** Colours with what they stand for. */
export type Legend =
  | { ramp: (part: number) => string; marks: [string, string, string] }
  | { lines: { name: string; colour: string; dashed: boolean }[] };

export interface Row {
  /** Unique among the rows; a heat map's tells layer and quantity. */
  id: string;
  title: string;
  height: number;
  /** Set on a layer's heat maps: what a pointer in the row points at. */
  at: { layer: number; quantity: number } | null;
  /** The unit drawn at a height in the row. */
  unitAt?(y: number, view: View): number;
  /** What the row shows, in words. */
  describe(view: View): string;
  legend(theme: Theme): Legend | null;
  paint(ctx: CanvasRenderingContext2D, frame: Frame, view: View, theme: Theme): void;
  overlay(ctx: CanvasRenderingContext2D, frame: Frame, view: View, theme: Theme): void;
}

export const FONT = "12px system-ui, sans-serif";

/** The text, or as much of its start as there is room for. */
export function shorten(ctx: CanvasRenderingContext2D, text: string, room: number): string {
  if (ctx.measureText(text).width <= room) return text;
  let end = Math.min(text.length, 200);
  while (end > 0 && ctx.measureText(`${text.slice(0, end)}…`).width > room) end--;
  return `${text.slice(0, end)}…`;
}
