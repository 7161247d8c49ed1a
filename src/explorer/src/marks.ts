/** Marks that all rows share: the step under the cursor, and ranges of steps. */

import type { Theme } from "./colours";
import { stepWidth, xOf, type Frame } from "./frame";
import type { View } from "./state";

export function paintRange(
  ctx: CanvasRenderingContext2D, frame: Frame, theme: Theme,
  range: { from: number; to: number }, height: number, dashed: boolean,
): void {
  const left = xOf(frame, range.from);
  const width = xOf(frame, range.to + 1) - left;
  ctx.strokeStyle = theme.accent;
  ctx.lineWidth = 2;
  ctx.setLineDash(dashed ? [4, 3] : []);
  ctx.strokeRect(left, 1, width, height - 2);
  ctx.setLineDash([]);
}

/** The selected range, if this is its sample, and the step under the cursor. */
export function paintCursor(
  ctx: CanvasRenderingContext2D, frame: Frame, view: View, theme: Theme, height: number,
): void {
  const { selection, cursor } = view;
  if (selection?.sample === view.sample) paintRange(ctx, frame, theme, selection, height, false);
  if (cursor === null) return;
  const width = Math.max(stepWidth(frame), 1.5);
  const left = xOf(frame, cursor.step + 0.5) - width / 2;
  ctx.strokeStyle = theme.text;
  ctx.lineWidth = 1;
  ctx.strokeRect(left, -2, width, height + 4);
}
