/**
 * Select and match, after LSTMVis (Strobelt et al. 2016), as pure functions of values.
 *
 * Select: a unit is *on* at a step whose value is at least the threshold; a masked step or one
 * without a value has no unit on. Selected are the units that are on at every step of the chosen
 * range. "Off before" (or "after") leaves out those that are also on at the step just before (or
 * after) the range on the time axis, also of a layer that runs backwards. Past the edge of the
 * sequence, every unit counts as off.
 *
 * Match: take, in each sample, each maximal run of steps at which at least one selected unit is
 * on, and in it each window as long as the chosen range. A window scores the number of selected
 * units that are on through all of it; windows that score 0 are no matches, nor are those that
 * overlap the chosen range itself. A run gives its best window: the highest score, then the fewest
 * further units that are on through all of it without being selected, then the earliest. The
 * matches are ranked in the same way, then by sample. Runs are disjoint, so matches never overlap.
 *
 * Departures from LSTMVis: it also finds longer and shorter ranges and prefers longer ones when
 * all else is equal (here every match has the length of the selection); it reads one long text
 * (here a match lies within one sample); its "off" options hold for the matches too (here for
 * the selection only); it ranks a pre-chosen set of candidates (here all windows are looked at).
 */

/** For each step of each sample one bit per unit: on or not. */
export interface OnBits {
  words: Uint32Array;
  /** Words of 32 bits per step. */
  width: number;
  samples: number;
  steps: number;
  units: number;
}

/** Steps `from` to `to` of a sample, both included. */
export interface Range {
  sample: number;
  from: number;
  to: number;
}

export interface Match extends Range {
  /** How many selected units are on through all of it. */
  shared: number;
  /** How many others are. */
  further: number;
}

/** Which units are on where, from values `(sample, step, unit)`; NaN is never on. */
export function packOn(
  grid: { values: Float32Array | Float64Array; samples: number; steps: number; columns: number },
  real: Uint8Array | null,
  threshold: number,
): OnBits {
  const { values, samples, steps, columns } = grid;
  const width = Math.ceil(columns / 32);
  const words = new Uint32Array(samples * steps * width);
  // Packed without a branch per value, as this runs anew whenever the threshold moves.
  for (let row = 0; row < samples * steps; row++) {
    if (real !== null && real[row] !== 1) continue;
    let at = row * columns;
    for (let word = 0; word < width; word++) {
      const bits = Math.min(32, columns - 32 * word);
      let packed = 0;
      for (let bit = 0; bit < bits; bit++, at++) packed |= +(values[at]! >= threshold) << bit;
      words[row * width + word] = packed;
    }
  }
  return { words, width, samples, steps, units: columns };
}

function isOn(bits: OnBits, sample: number, step: number, unit: number): boolean {
  if (step < 0 || step >= bits.steps) return false;
  const word = bits.words[(sample * bits.steps + step) * bits.width + (unit >> 5)]!;
  return ((word >>> (unit & 31)) & 1) === 1;
}

export function selectUnits(bits: OnBits, range: Range, before: boolean, after: boolean): number[] {
  const units: number[] = [];
  for (let unit = 0; unit < bits.units; unit++) {
    let chosen =
      !(before && isOn(bits, range.sample, range.from - 1, unit)) &&
      !(after && isOn(bits, range.sample, range.to + 1, unit));
    for (let step = range.from; chosen && step <= range.to; step++) {
      chosen = isOn(bits, range.sample, step, unit);
    }
    if (chosen) units.push(unit);
  }
  return units;
}

/** At each step, the units that have been on for `length` steps up to it, within its sample. */
function onThrough(bits: OnBits, length: number): Uint32Array {
  const through = bits.words.slice();
  const perSample = bits.steps * bits.width;
  // Each pass joins two shorter windows: about log2(length) passes.
  for (let reach = 1; reach < length; ) {
    const back = Math.min(reach, length - reach);
    for (let sample = 0; sample < bits.samples; sample++) {
      const first = sample * perSample;
      for (let at = first + perSample - 1; at >= first; at--) {
        const earlier = at - back * bits.width;
        through[at] = earlier < first ? 0 : through[at]! & through[earlier]!;
      }
    }
    reach += back;
  }
  return through;
}

function countBits(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Best first: negative if `a` is better than `b`. */
function rank(a: Match, b: Match): number {
  return b.shared - a.shared || a.further - b.further || a.sample - b.sample || a.from - b.from;
}

export function findMatches(bits: OnBits, range: Range, units: number[], limit: number): Match[] {
  const { words, width, steps } = bits;
  const length = range.to - range.from + 1;
  const selected = new Uint32Array(width);
  for (const unit of units) selected[unit >> 5]! |= 1 << (unit & 31);
  const through = onThrough(bits, length);
  const found: Match[] = [];
  for (let sample = 0; sample < bits.samples; sample++) {
    let best: Match | null = null;
    for (let step = 0; step < steps; step++) {
      const row = (sample * steps + step) * width;
      let anyOn = 0;
      let shared = 0;
      let further = 0;
      for (let word = 0; word < width; word++) {
        anyOn |= words[row + word]! & selected[word]!;
        const all = through[row + word]!;
        shared += countBits(all & selected[word]!);
        further += countBits(all & ~selected[word]!);
      }
      if (anyOn === 0) {
        if (best !== null) found.push(best);
        best = null;
        continue;
      }
      const from = step - length + 1;
      if (shared === 0) continue;
      if (sample === range.sample && from <= range.to && step >= range.from) continue;
      const match: Match = { sample, from, to: step, shared, further };
      if (best === null || rank(match, best) < 0) best = match;
    }
    if (best !== null) found.push(best);
  }
  return found.sort(rank).slice(0, limit);
}
