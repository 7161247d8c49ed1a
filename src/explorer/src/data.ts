/** Decodes what the page is given into arrays of values, a model for each version. */

import { extent, max, min, range } from "d3-array";
import type { Block, Header, Layer, Series } from "./contract";

/** An array `(sample, step, column)`, last axis fastest; NaN where there is no value. */
export interface Grid {
  values: Float32Array | Float64Array;
  samples: number;
  steps: number;
  columns: number;
}

/** What the values of a grid's real steps are like, over all samples. */
export interface Statistics {
  min: number;
  max: number;
  /** The value that about a given part of all values lies at or below. */
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
  half_life: (number | "never" | null)[] | null;
  memory: { state: string; kept: Grid; written: Grid } | null;
  /** The range of each direction is that of all versions. */
  trajectory: { quantity: string; share: number[]; grid: Grid; ranges: [number, number][] } | null;
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
  /** 0 where every layer masks a step: what goes along with the steps is padding there. */
  real: Uint8Array | null;
  layers: ModelLayer[];
  series: ModelSeries[];
  tokens: { vocabulary: string[]; codes: Uint8Array | Uint16Array } | null;
}

/** The bytes of the values: base64 of gzip. */
export async function readBytes(base64: string): Promise<ArrayBuffer> {
  const letters = atob(base64.trim());
  const packed = new Uint8Array(letters.length);
  for (let at = 0; at < packed.length; at++) packed[at] = letters.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function codesOf(bytes: ArrayBuffer, block: Block): Uint8Array | Uint16Array {
  const length = block.shape.reduce((product, size) => product * size, 1);
  // Two-byte codes need an even offset to be seen in place. Every browser's machine is little endian.
  if (block.bytes === 1) return new Uint8Array(bytes, block.at, length);
  if (block.at % 2 === 0) return new Uint16Array(bytes, block.at, length);
  return new Uint16Array(bytes.slice(block.at, block.at + 2 * length));
}

/** Decodes a block: a grid for each of its parts, which follow one another. */
function decode(bytes: ArrayBuffer, block: Block, samples: number, hasSteps = true): Grid[] {
  const [rows = 0, second = 1, third = 1] = block.shape;
  const [steps, columns] = hasSteps ? [second, third] : [1, second];
  const codes = codesOf(bytes, block);
  const none = block.bytes === 1 ? 0xff : 0xffff;
  const size = samples * steps * columns;
  return Array.from({ length: rows / samples }, (_, part): Grid => {
    // Two bytes tell times and prices, of which single precision would keep too little.
    const values = block.bytes === 1 ? new Float32Array(size) : new Float64Array(size);
    const last = new Uint32Array(columns);
    for (let at = 0; at < size; at++) {
      if (at % (steps * columns) === 0) last.fill(0);
      const change = codes[part * size + at]!;
      const code = block.shape.length === 3 ? (last[at % columns]! + change) & none : change;
      last[at % columns] = code;
      const column = part * columns + (at % columns);
      values[at] = code === none ? NaN : block.low[column]! + block.step[column]! * code;
    }
    return { values, samples, steps, columns };
  });
}

export function valueAt(of: Grid, sample: number, step: number, column: number): number {
  return of.values[(sample * of.steps + step) * of.columns + column] ?? NaN;
}

export function isReal(real: Uint8Array | null, steps: number, sample: number, step: number): boolean {
  return real === null || real[sample * steps + step] === 1;
}

/** The value as people see it: none where the step is masked, whatever the layer carries along. */
export function shownValue(of: Matrix, sample: number, step: number, column: number): number {
  return isReal(of.real, of.grid.steps, sample, step) ? valueAt(of.grid, sample, step, column) : NaN;
}

/** The values of the real steps; of one column, or of all. */
export function realValues(of: Grid, real: Uint8Array | null, column: number | null = null): Float64Array {
  const kept = new Float64Array(column === null ? of.values.length : of.samples * of.steps);
  let count = 0;
  for (let row = 0; row < of.samples * of.steps; row++) {
    if (real !== null && real[row] !== 1) continue;
    const [start, end] = column === null ? [0, of.columns] : [column, column + 1];
    for (let at = row * of.columns + start; at < row * of.columns + end; at++) {
      const value = of.values[at]!;
      if (value === value) kept[count++] = value;
    }
  }
  return kept.subarray(0, count);
}

/** More values than this are sampled, evenly: sorting all would take longer than to look. */
const SORTED = 60_000;

function statistics(parts: Float64Array[], signed: boolean): Statistics {
  const [min = 0, max = 0] = extent(parts.flatMap((part) => extent(part) as number[]));
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  // An odd stride takes all columns in turn.
  const stride = 2 * Math.floor(total / SORTED / 2) + 1;
  const sorted = Float64Array.from(parts.flatMap((part) => [...part.filter((_, at) => at % stride === 0)])).sort();
  const quantile = (part: number): number => sorted[Math.round(part * (sorted.length - 1))] ?? 0;
  // Few extreme values must not turn all others pale: colours end where 99.5 % of the values do,
  // unless the extremes are near, or all else is 0.
  const [low, high] = [quantile(0.005), quantile(0.995)];
  const end = (far: number, most: number): number => (far <= 1.3 * most || most === 0 ? far || 1 : most);
  if (signed || min < 0) {
    const limit = end(Math.max(-min, max), Math.max(-low, high));
    return { min, max, quantile, colours: { low: -limit, high: limit, diverging: true } };
  }
  return { min, max, quantile, colours: { low: 0, high: max <= 1 ? 1 : end(max, high), diverging: false } };
}

/** States can take either sign even where the data has one only; other values say it themselves. */
const SIGNED = ["hidden", "cell"];

/** Looks at the values when they are first asked for, and once. */
function statisticsOf(grids: Grid[], real: Uint8Array | null, signed: boolean): () => Statistics {
  let known: Statistics | null = null;
  return () => (known ??= statistics(grids.map((grid) => realValues(grid, real)), signed));
}

/** The model of each version. What values are like is told over all versions: colours compare. */
export function readModels(header: Header, bytes: ArrayBuffer): Model[] {
  const [samples, steps] = [header.samples.length, header.steps.length];
  const masks = header.layers.map(({ mask }) => mask && Uint8Array.from(codesOf(bytes, mask)));
  // A step is padding where no layer runs.
  const [first = null, ...rest] = masks;
  const real = masks.includes(null) ? null : first!.map((step, at) => +(step === 1 || rest.some((mask) => mask![at] === 1)));
  const versions = header.versions.map((): Model => ({ header, samples, steps, real, layers: [], series: [], tokens: null }));
  header.layers.forEach((layer, at) => {
    const mask = masks[at]!;
    const quantities = layer.quantities.map(({ name, long_name, values }) => {
      const grids = decode(bytes, values, samples);
      return { name, title: long_name || name, grids, statistics: statisticsOf(grids, mask, SIGNED.includes(name)) };
    });
    const { memory, trajectory } = layer;
    const kept = quantities.find(({ name }) => name === memory?.kept);
    const written = memory && decode(bytes, memory.written, samples);
    const paths = trajectory && decode(bytes, trajectory.values, samples);
    const ranges = paths && range(paths[0]!.columns).map((column): [number, number] => {
      const ends = paths.flatMap((path) => extent(realValues(path, mask, column)) as number[]);
      return [min(ends) ?? 0, max(ends) ?? 0];
    });
    versions.forEach((model, version) => {
      model.layers.push({
        ...layer,
        real: mask,
        quantities: quantities.map(({ name, title, grids, statistics }) => ({
          name, title, statistics, grid: grids[version]!, real: mask,
        })),
        half_life: layer.half_life?.[version] ?? null,
        memory: memory && kept && written ? { state: memory.state, kept: kept.grids[version]!, written: written[version]! } : null,
        trajectory: trajectory && paths && ranges && { ...trajectory, grid: paths[version]!, ranges },
      });
    });
  });
  for (const of of header.series) {
    const whole = of.values.shape.length < 3;
    const grids = decode(bytes, of.values, samples, !whole);
    const own = whole ? null : real;
    const statistics = statisticsOf(grids, own, false);
    versions.forEach((model, version) => {
      model.series.push({ ...of, whole, title: `${of.role}: ${of.name}`, grid: grids[version] ?? grids[0]!, real: own, statistics });
    });
  }
  const tokens = header.tokens && { vocabulary: header.tokens.vocabulary, codes: codesOf(bytes, header.tokens.codes) };
  for (const model of versions) model.tokens = tokens;
  return versions;
}

function minus(a: Grid, b: Grid): Grid {
  return { ...a, values: a.values.map((value, at) => value - b.values[at]!) };
}

/** A version less another: its states, gates and outputs; all else is as it is. */
export function difference(a: Model, b: Model): Model {
  const less = <M extends Matrix>(one: M, grid: Grid): M => ({
    ...one, title: `${one.title}: difference`, grid, statistics: statisticsOf([grid], one.real, true),
  });
  return {
    ...a,
    layers: a.layers.map((layer, at) => ({
      ...layer,
      half_life: null,
      memory: null,
      trajectory: null,
      quantities: layer.quantities.map((quantity, index) => less(quantity, minus(quantity.grid, b.layers[at]!.quantities[index]!.grid))),
    })),
    series: a.series.map((series, at) => (series.role === "output" ? less(series, minus(series.grid, b.series[at]!.grid)) : series)),
  };
}

/** What a version or a difference of two is called; nothing where there is one alone. */
export function versionName(model: Model, version: number, base: number | null): string {
  const name = model.header.versions[version] ?? "";
  return base === null ? name : `${name} less ${model.header.versions[base]}`;
}

export function tokenAt(model: Model, sample: number, step: number): string | null {
  if (model.tokens === null) return null;
  return model.tokens.vocabulary[model.tokens.codes[sample * model.steps + step] ?? -1] ?? null;
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
