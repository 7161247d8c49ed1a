/** Colours of values and of the page, in the light and the dark scheme. */

import { rgb } from "d3-color";
import { interpolateRgbBasis } from "d3-interpolate";
import { interpolateCividis, interpolateRdBu, interpolateViridis } from "d3-scale-chromatic";
import type { Statistics } from "./data";
import { clamp } from "./dom";

/** Colours of the page, as the style sheet sets them for the present scheme. */
export interface Theme {
  dark: boolean;
  text: string;
  muted: string;
  line: string;
  back: string;
  hatch: string;
  accent: string;
  veil: string;
  lines: string[];
}

/** Paper is white: printing takes the light scheme whatever the screen has. */
export function setScheme(printing: boolean): void {
  const dark = !printing && matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset["scheme"] = dark ? "dark" : "light";
}

export function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    dark: document.documentElement.dataset["scheme"] === "dark",
    text: colour("text"),
    muted: colour("muted"),
    line: colour("line"),
    back: colour("back"),
    hatch: colour("hatch"),
    accent: colour("accent"),
    veil: colour("veil"),
    lines: [1, 2, 3, 4, 5, 6].map((number) => colour(`line-${number}`)),
  };
}

type Ramp = (part: number) => string;

// Zero is as pale as the paper, or as dark as the screen: in both, far from zero stands out.
const darkDiverging = interpolateRgbBasis([
  "#b5dcff", "#6db3f2", "#3178b8", "#1f4468", "#20242b", "#6b3a20", "#b86a2c", "#f0a050", "#ffdcae",
]);

/** Blue below 0, red or orange above; in one direction viridis. Both hold for colour-blind eyes. */
export function rampOf(statistics: Statistics, dark: boolean): Ramp {
  if (!statistics.colours.diverging) return dark ? interpolateViridis : (part) => interpolateCividis(1 - part);
  return dark ? darkDiverging : (part) => interpolateRdBu(1 - part);
}

/** The colour of a value as the bytes of a pixel; no value stays clear, so the hatching shows. */
export function pixelsOf(statistics: Statistics, dark: boolean): (value: number) => number {
  const ramp = rampOf(statistics, dark);
  const shades = Uint32Array.from({ length: 256 }, (_, shade) => {
    const { r, g, b } = rgb(ramp(shade / 255));
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
  const { low, high } = statistics.colours;
  const scale = 255 / (high - low);
  return (value) => (value === value ? shades[clamp(Math.round((value - low) * scale), 0, 255)]! : 0);
}

/** As many colours as can be told apart; then the same ones dashed. */
export function styleOf(theme: Theme, at: number): { colour: string; dashed: boolean } {
  const count = theme.lines.length;
  return { colour: theme.lines[at % count]!, dashed: Math.floor(at / count) % 2 === 1 };
}

/** Lines from corner to corner: no colour map has those, so nobody takes them for a value. */
export function hatching(ctx: CanvasRenderingContext2D, theme: Theme): CanvasPattern | string {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d")!;
  pen.fillStyle = theme.back;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = theme.hatch;
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const shift of [-8, 0, 8]) {
    pen.moveTo(shift - 1, 9);
    pen.lineTo(shift + 9, -1);
  }
  pen.stroke();
  return ctx.createPattern(tile, "repeat") ?? theme.hatch;
}
