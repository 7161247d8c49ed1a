/** The fast rule against a slow one that spells out the definition, on random grids. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { findMatches, packOn, selectUnits, type Match, type Range } from "../src/matching";

interface OnGrid {
  values: Float32Array;
  least: number;
  samples: number;
  steps: number;
  columns: number;
  real: Uint8Array | null;
}

/** Random numbers that are the same in every run. */
function randomness(seed: number): () => number {
  return () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

function randomGrid(next: () => number, samples: number, steps: number, columns: number): OnGrid {
  const values = new Float32Array(samples * steps * columns);
  for (let at = 0; at < values.length; at++) {
    const before = at % (steps * columns) >= columns ? values[at - columns]! || 128 : 128;
    values[at] = next() < 0.03 ? NaN : Math.min(255, Math.max(0, before + Math.floor(121 * next() - 60)));
  }
  const real = next() < 0.5 ? null : Uint8Array.from({ length: samples * steps }, () => +(next() < 0.93));
  return { values, least: 110 + Math.floor(40 * next()), samples, steps, columns, real };
}

function on(grid: OnGrid, sample: number, step: number, unit: number): boolean {
  if (step < 0 || step >= grid.steps) return false;
  if (grid.real && grid.real[sample * grid.steps + step] === 0) return false;
  const value = grid.values[(sample * grid.steps + step) * grid.columns + unit]!;
  return value >= grid.least;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

function through(grid: OnGrid, place: Range): number[] {
  return range(0, grid.columns - 1).filter((unit) =>
    range(place.from, place.to).every((step) => on(grid, place.sample, step, unit)),
  );
}

function slowMatches(grid: OnGrid, place: Range, units: number[]): Match[] {
  const length = place.to - place.from + 1;
  const order = (a: Match, b: Match): number =>
    b.shared - a.shared || a.further - b.further || a.sample - b.sample || a.from - b.from;
  const found: Match[] = [];
  for (const sample of range(0, grid.samples - 1)) {
    const anyOn = range(0, grid.steps - 1).map((step) => units.some((unit) => on(grid, sample, step, unit)));
    for (const start of range(0, grid.steps - 1)) {
      if (!anyOn[start] || anyOn[start - 1]) continue;
      let end = start;
      while (anyOn[end + 1]) end++;
      const windows: Match[] = [];
      for (let from = start; from + length - 1 <= end; from++) {
        const window = { sample, from, to: from + length - 1 };
        if (sample === place.sample && window.from <= place.to && window.to >= place.from) continue;
        const all = through(grid, window);
        const shared = all.filter((unit) => units.includes(unit)).length;
        if (shared > 0) windows.push({ ...window, shared, further: all.length - shared });
      }
      const best = windows.sort(order)[0];
      if (best) found.push(best);
    }
  }
  return found.sort(order);
}

test("selection and matches agree with the definition", () => {
  const next = randomness(7);
  let some = 0;
  for (let trial = 0; trial < 300; trial++) {
    const grid = randomGrid(next, 1 + Math.floor(6 * next()), 1 + Math.floor(25 * next()), 1 + Math.floor(70 * next() * next()));
    const from = Math.floor(grid.steps * next());
    const place = {
      sample: Math.floor(grid.samples * next()),
      from,
      to: Math.min(grid.steps - 1, from + Math.floor(5 * next())),
    };
    const [before, after] = [next() < 0.4, next() < 0.4];
    const bits = packOn(grid, grid.real, grid.least);
    const units = selectUnits(bits, place, before, after);
    const slow = through(grid, place).filter(
      (unit) =>
        !(before && on(grid, place.sample, place.from - 1, unit)) &&
        !(after && on(grid, place.sample, place.to + 1, unit)),
    );
    assert.deepEqual(units, slow);
    const expected = slowMatches(grid, place, units);
    assert.deepEqual(findMatches(bits, place, units, 1000), expected);
    assert.deepEqual(findMatches(bits, place, units, 3), expected.slice(0, 3));
    some += expected.length;
  }
  assert.ok(some > 300, `only ${some} matches: the grids are no test`);
});
