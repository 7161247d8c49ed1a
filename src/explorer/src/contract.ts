/** What a page is given: a header in JSON, and one run of bytes that its blocks point into. */

/**
 * An array of codes, row after row, the last axis fastest: unsigned integers of `bytes` bytes,
 * little endian. A value is `low + step * code`, where each column, the last axis, has its own scale
 * in each version: `low` and `step` list those of the first version's columns, then the next one's.
 * The largest code stands for no value: a masked step runs no gate. Of an array with three axes,
 * `(sample, time, column)`, each code is the change from the step before, modulo the number of codes.
 */
export interface Block {
  at: number;
  bytes: 1 | 2;
  shape: number[];
  low: number[];
  step: number[];
}

/**
 * A state, a gate or whatever else a layer has at each step: `values (version * sample, time,
 * unit)`, all samples of one version after all of another.
 */
export interface Quantity {
  name: string;
  long_name: string;
  values: Block;
}

export interface Layer {
  address: string;
  /** Such as "LSTM". */
  kind: string;
  /** Whether the layer takes the steps from the last to the first. */
  backwards: boolean;
  /** The number of each unit in the layer; the traces may hold selected ones. */
  units: number[];
  quantities: Quantity[];
  /** 1 where a step is real, 0 where it is masked: `(sample, time)`; null if all are. */
  mask: Block | null;
  /** By version, in how many steps a unit's state halves by its gate; null where unknown. */
  half_life: (number | "never" | null)[][] | null;
  /** Places in `units`, the longest half-life first. */
  by_memory: number[];
  /** Places in `units` in the order of likeness: neighbours move alike. */
  alike: number[];
  /**
   * Which state keeps a share of itself by which gate, and what each step writes into it, `(version
   * * sample, time, unit)`; null where none does, or that is unknown.
   */
  memory: { state: string; kept: string; written: Block } | null;
  /**
   * The path of a state along the directions of most variance, `values (version * sample, time,
   * direction)`, and the share of the variance along each.
   */
  trajectory: { quantity: string; share: number[]; values: Block } | null;
  /** The strongest connections of its units; none where the model isn't known. */
  connections: Connections[];
}

/** What leads to the units of a layer, or from them. */
export interface Connections {
  direction: "from" | "to";
  /** The address of a layer, or what else it is. */
  of: string;
  /** Names of all that the units may be connected to; of a layer the numbers of its units. */
  names: string[];
  /** For each unit, places in `names` of the strongest, and how strong they are. */
  places: number[][];
  strength: number[][];
}

/** Values that go along with the steps: inputs, outputs, targets. */
export interface Series {
  name: string;
  role: "input" | "output" | "target";
  /** Names of the last axis. */
  features: string[];
  /**
   * `(sample, time, feature)`, or `(sample, feature)` where there is one value for the sequence; of
   * an output `(version * sample, ...)`.
   */
  values: Block;
}

/** A word for each step. */
export interface Tokens {
  vocabulary: string[];
  /** Places in the vocabulary: `(sample, time)`. */
  codes: Block;
}

export interface Header {
  title: string;
  /** What tells recordings of the same samples apart; one empty name where there is one alone. */
  versions: string[];
  /** What each sample is called. */
  samples: string[];
  /** How the samples were chosen among more, in a sentence; empty if all are shown. */
  chosen: string;
  /** How exact the values are, in a sentence. */
  precision: string;
  /** The number of each step in the input; the traces may hold selected ones. */
  steps: number[];
  layers: Layer[];
  series: Series[];
  tokens: Tokens | null;
  /** A class for each sample. */
  labels: { classes: string[]; of: number[] } | null;
}
