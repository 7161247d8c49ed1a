/** A small line of a place and some steps around it. */

import { extent, range } from "d3-array";
import { shownValue, type Matrix } from "./data";
import type { Range } from "./matching";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [80, 24];

function shape(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** The mean of some columns, from a little before to a little after the place, which is marked. */
export function sparkline(matrix: Matrix, place: Range, columns: number[]): SVGElement {
  const around = Math.max(4, place.to - place.from + 1);
  const steps = range(Math.max(0, place.from - around), Math.min(matrix.grid.steps, place.to + 1 + around));
  const values = steps.map(
    (step) => columns.reduce((sum, column) => sum + shownValue(matrix, place.sample, step, column), 0) / columns.length,
  );
  // Its own range: what counts here is the shape.
  const [low = 0, high = 1] = extent(values);
  const x = (step: number): number => ((step - steps[0]!) / steps.length) * WIDTH;
  const y = (value: number): number => 2 + (HEIGHT - 4) * (1 - (value - low) / (high - low || 1));
  let path = "";
  let pen = "M";
  steps.forEach((step, at) => {
    const value = values[at]!;
    const drawn = !Number.isNaN(value);
    if (drawn) path += `${pen}${x(step + 0.5).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = drawn ? "L" : "M";
  });
  const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, class: "spark", "aria-hidden": "true" });
  picture.append(
    shape("rect", { x: x(place.from), y: 0, width: Math.max(1, x(place.to + 1) - x(place.from)), height: HEIGHT }),
    shape("path", { d: path }),
  );
  return picture;
}
