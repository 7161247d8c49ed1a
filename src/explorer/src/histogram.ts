/** How the values of one unit are spread over all real steps of all samples. */

import { extent } from "d3-array";
import { realValues, type Matrix } from "./data";

const BINS = 24;

export function histogram(matrix: Matrix, unit: number): { low: number; high: number; counts: number[] } {
  const values = realValues(matrix.grid, matrix.real, unit);
  const [low = 0, high = 0] = extent(values) as [number?, number?];
  const counts = new Array<number>(BINS).fill(0);
  for (const value of values) {
    const part = high > low ? (value - low) / (high - low) : 0.5;
    counts[Math.min(BINS - 1, Math.floor(part * BINS))]!++;
  }
  return { low, high, counts };
}
