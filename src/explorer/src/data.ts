/** Decodes what the page is given into arrays of codes, and says what a code means. */

import type { Block, Header, Layer, Series } from "./contract";

/** Codes of an array `(sample, step, column)`, last axis fastest, as the contract's blocks have them. */
export interface Grid {
  codes: Uint8Array | Uint16Array;
  /** The code that stands for no value. */
  none: number;
  low: number;
  step: number;
  samples: number;
  steps: number;
  columns: number;
}

/** What the values of a grid's real steps are like, over all samples. */
export interface Statistics {
  min: number;
  max: number;
  /** The value that a given part of all values lies at or below. */
  quantile(part: number): number;
  /** The range of the colours: symmetric about 0 where there are negative values. */
  colours: { low: number; high: number; diverging: boolean };
}

/** One matrix per sample: a quantity of a layer, or a series along the steps. */
export interface Matrix {
  name: string;
  title: string;
  grid: Grid;
  /** 1 where a step is real `(sample, step)`; null if all are. */
  real: Uint8Array | null;
  statistics(): Statistics;
}

export interface ModelLayer extends Omit<Layer, "quantities" | "mask" | "half_life" | "memory" | "trajectory"> {
  real: Uint8Array | null;
  quantities: Matrix[];
  half_life: (number | null)[] | null;
  memory: { state: string; kept: Grid; written: Grid } | null;
  trajectory: { quantity: string; share: number[]; grid: Grid } | null;
}

export interface ModelSeries extends Omit<Series, "values">, Matrix {
  /** One value for the whole sequence: no step axis. */
  whole: boolean;
}

/** One version of the recording, or the difference of two. */
export interface Model {
  header: Header;
  samples: number;
  steps: number;
  /** 1 where a step of the input is real: the first layer's mask that there is. */
  real: Uint8Array | null;
  layers: ModelLayer[];
  series: ModelSeries[];
  tokens: { vocabulary: string[]; grid: Grid } | null;
}

/** The bytes of the values: base64 of gzip. */
export async function readBytes(base64: string): Promise<ArrayBuffer> {
  const letters = atob(base64.trim());
  const packed = new Uint8Array(letters.length);
  for (let at = 0; at < packed.length; at++) packed[at] = letters.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function grid(bytes: ArrayBuffer, block: Block, hasSteps = true): Grid {
  const [samples = 0, second = 1, third = 1] = block.shape;
  const steps = hasSteps ? second : 1;
  const columns = hasSteps ? third : second;
  const length = samples * steps * columns;
  // Two-byte codes need an even offset to be seen in place. Every browser's machine is little endian.
  const codes =
    block.bytes === 1
      ? new Uint8Array(bytes, block.at, length)
      : block.at % 2 === 0
        ? new Uint16Array(bytes, block.at, length)
        : new Uint16Array(bytes.slice(block.at, block.at + 2 * length));
  const none = block.bytes === 1 ? 0xff : 0xffff;
  return { codes, none, low: block.low, step: block.step, samples, steps, columns };
}

/** The part of a grid that belongs to a version; what is no version's own belongs to all. */
function partOf(of: Grid, version: number, samples: number): Grid {
  if (of.samples === samples) return of;
  const size = samples * of.steps * of.columns;
  return { ...of, samples, codes: of.codes.subarray(version * size, (version + 1) * size) };
}

export function valueOf(of: Grid, code: number): number {
  return code === of.none ? NaN : of.low + of.step * code;
}

export function codeAt(of: Grid, sample: number, step: number, column: number): number {
  return of.codes[(sample * of.steps + step) * of.columns + column] ?? of.none;
}

export function valueAt(of: Grid, sample: number, step: number, column: number): number {
  return valueOf(of, codeAt(of, sample, step, column));
}

export function isReal(real: Uint8Array | null, steps: number, sample: number, step: number): boolean {
  return real === null || real[sample * steps + step] === 1;
}

/** The value as people see it: none where the step is masked, whatever the layer carries along. */
export function shownValue(of: Matrix, sample: number, step: number, column: number): number {
  return isReal(of.real, of.grid.steps, sample, step) ? valueAt(of.grid, sample, step, column) : NaN;
}

/** How many values of the real steps have each code; of one column, or of all. */
export function countCodes(of: Grid, real: Uint8Array | null, column: number | null = null): Uint32Array {
  const counts = new Uint32Array(of.none + 1);
  const { codes, columns } = of;
  for (let row = 0; row < of.samples * of.steps; row++) {
    if (real !== null && real[row] !== 1) continue;
    const start = row * columns;
    if (column !== null) counts[codes[start + column]!]!++;
    else for (let at = start; at < start + columns; at++) counts[codes[at]!]!++;
  }
  counts[of.none] = 0;
  return counts;
}

function statistics(of: Grid, real: Uint8Array | null, signed: boolean): Statistics {
  const counts = countCodes(of, real);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const quantile = (part: number): number => {
    let below = 0;
    for (let code = 0; code < of.none; code++) {
      below += counts[code]!;
      if (below > 0 && below >= part * total) return valueOf(of, code);
    }
    return 0;
  };
  const min = quantile(0);
  const max = quantile(1);
  // Few extreme values must not turn all others pale: colours end where 99.5 % of the values do,
  // unless the extremes are near.
  const [low, high] = [quantile(0.005), quantile(0.995)];
  if (signed || min < 0) {
    const far = Math.max(-min, max);
    const most = Math.max(-low, high);
    const limit = far <= 1.3 * most ? far : most;
    return { min, max, quantile, colours: { low: -limit || -1, high: limit || 1, diverging: true } };
  }
  const end = max <= 1 ? 1 : max <= 1.3 * high ? max : high;
  return { min, max, quantile, colours: { low: 0, high: end, diverging: false } };
}

/** States can take either sign even where the data has one only; other values say it themselves. */
const SIGNED = ["hidden", "cell"];

/** Counts values when they are first asked for, and once. */
function statisticsOf(of: Grid, real: Uint8Array | null, signed: boolean): () => Statistics {
  let known: Statistics | null = null;
  return () => (known ??= statistics(of, real, signed));
}

/** The model of each version. What values are like is told over all versions: colours compare. */
export function readModels(header: Header, bytes: ArrayBuffer): Model[] {
  const [samples, steps] = [header.samples.length, header.steps.length];
  const versions = header.versions.map((): Model => ({
    header, samples, steps, real: null, layers: [], series: [], tokens: null,
  }));
  let everywhere: Uint8Array | null = null;
  for (const layer of header.layers) {
    const mask = layer.mask && grid(bytes, layer.mask);
    const real = mask && Uint8Array.from(mask.codes, (code) => (valueOf(mask, code) > 0 ? 1 : 0));
    const quantities = layer.quantities.map(({ name, long_name, values }) => {
      const all = grid(bytes, values);
      return { name, title: long_name || name, all, statistics: statisticsOf(all, real, SIGNED.includes(name)) };
    });
    everywhere ??= real;
    const { memory } = layer;
    const kept = quantities.find(({ name }) => name === memory?.kept);
    const written = memory && grid(bytes, memory.written);
    const path = layer.trajectory && grid(bytes, layer.trajectory.values);
    versions.forEach((model, version) => {
      const own = real && real.subarray(version * samples * steps, (version + 1) * samples * steps);
      model.real ??= own;
      model.layers.push({
        ...layer,
        real: own,
        quantities: quantities.map(({ all, ...rest }) => ({ ...rest, grid: partOf(all, version, samples), real: own })),
        half_life: layer.half_life?.[version] ?? null,
        memory: memory && kept && written
          ? { state: memory.state, kept: partOf(kept.all, version, samples), written: partOf(written, version, samples) }
          : null,
        trajectory: layer.trajectory && path && { ...layer.trajectory, grid: partOf(path, version, samples) },
      });
    });
  }
  for (const of of header.series) {
    const whole = of.values.shape.length < 3;
    const all = grid(bytes, of.values, !whole);
    const statistics = statisticsOf(all, whole ? null : all.samples > samples ? everywhere : versions[0]!.real, false);
    versions.forEach((model, version) => {
      const own = whole ? null : model.real;
      model.series.push({ ...of, whole, title: `${of.role}: ${of.name}`, grid: partOf(all, version, samples), real: own, statistics });
    });
  }
  const tokens = header.tokens && { vocabulary: header.tokens.vocabulary, grid: grid(bytes, header.tokens.codes) };
  for (const model of versions) model.tokens = tokens;
  return versions;
}

/** Codes of `a - b`: as both have the same scale, their difference is exact. */
function gridDifference(a: Grid, b: Grid): Grid {
  const zero = a.none - 1;
  const codes = Uint16Array.from(a.codes, (code, at) => {
    const other = b.codes[at]!;
    // Differences of two-byte codes are halved to fit.
    return code === a.none || other === b.none ? 0xffff : a.none > 255 ? (code - other + zero) >> 1 : code - other + zero;
  });
  const step = a.none > 255 ? 2 * a.step : a.step;
  return { ...a, codes, none: 0xffff, low: -zero * a.step, step };
}

/** A version less another: its states, gates and outputs; all else is as it is. */
export function difference(a: Model, b: Model): Model {
  const less = <M extends Matrix>(one: M, other: Matrix): M => {
    const grid = gridDifference(one.grid, other.grid);
    const real = one.real && other.real ? one.real.map((step, at) => step & other.real![at]!) : one.real;
    return { ...one, title: `${one.title}: difference`, grid, real, statistics: statisticsOf(grid, real, true) };
  };
  return {
    ...a,
    layers: a.layers.map((layer, at) => ({
      ...layer,
      memory: null,
      quantities: layer.quantities.map((quantity, index) => less(quantity, b.layers[at]!.quantities[index]!)),
    })),
    series: a.series.map((series, at) => (series.role === "output" ? less(series, b.series[at]!) : series)),
  };
}

export function tokenAt(model: Model, sample: number, step: number): string | null {
  if (model.tokens === null) return null;
  const code = codeAt(model.tokens.grid, sample, step, 0);
  return model.tokens.vocabulary[valueOf(model.tokens.grid, code)] ?? null;
}

export function labelOf(model: Model, sample: number): string {
  const labels = model.header.labels;
  return labels?.classes[labels.of[sample] ?? -1] ?? "";
}

/** What a sample is called in running text: a bare number says "sample" before it. */
export function sampleName(model: Model, sample: number): string {
  const name = model.header.samples[sample] ?? "";
  return /^\d+$/.test(name) ? `sample ${name}` : name;
}
