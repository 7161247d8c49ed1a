/** How the values of one unit are spread over all real steps of all samples. */

import { countCodes, valueOf, type Matrix } from "./data";

const BINS = 24;

export function histogram(matrix: Matrix, unit: number): { low: number; high: number; counts: number[] } {
  const { grid } = matrix;
  const counts = countCodes(grid, matrix.real, unit);
  const codes = [...counts.keys()].filter((code) => counts[code]! > 0);
  const [low, high] = [valueOf(grid, codes[0] ?? 0), valueOf(grid, codes.at(-1) ?? 0)];
  const bins = new Array<number>(BINS).fill(0);
  for (const code of codes) {
    const part = high > low ? (valueOf(grid, code) - low) / (high - low) : 0.5;
    bins[Math.min(BINS - 1, Math.floor(part * BINS))]! += counts[code]!;
  }
  return { low, high, counts: bins };
}
