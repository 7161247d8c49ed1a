/** What the page shows, told apart from how; and its form in the address after "#". */

import type { Model } from "./data";
import { clamp } from "./dom";
import type { Match, Range } from "./matching";

export type Order = "memory" | "alike" | "number";

/** Where the readout looks: a step, and maybe a unit (its place in the layer) in a quantity. */
export interface Cursor {
  step: number;
  on: { layer: number; quantity: number; unit: number } | null;
}

export interface Selection extends Range {
  layer: number;
  quantity: number;
  threshold: number;
  /** Only units that are off at the step just before, just after. */
  before: boolean;
  after: boolean;
}

export interface View {
  /** Which version is shown, and the one that is taken from it, if any. */
  version: number;
  base: number | null;
  sample: number;
  /** Keys "layer.quantity" of the heat maps shown. */
  shown: ReadonlySet<string>;
  order: Order;
  /** The visible part of the time axis in steps, `to` excluded. */
  from: number;
  to: number;
  cursor: Cursor | null;
  selection: Selection | null;
  unit: { layer: number; unit: number } | null;
  /** The layer of which trajectories are shown. */
  trajectory: number;
  /** Whether dragging in a heat map selects steps, or moves the time axis. */
  dragSelects: boolean;
  /** Follow from the selection: units selected, and the places like it. */
  selected: number[];
  matches: Match[];
}

export type Changes = ReadonlySet<keyof View>;

export const keyOf = (layer: number, quantity: number): string => `${layer}.${quantity}`;

/** The orders there are, the first to start with: by memory only where some unit's memory is known. */
export function ordersOf(model: Model): Order[] {
  const known = model.header.layers.some(({ half_life }) => half_life !== null);
  return known ? ["memory", "alike", "number"] : ["alike", "number"];
}

export function firstView(model: Model): View {
  const shown = new Set<string>();
  model.layers.forEach((layer, at) => {
    const states = layer.quantities.map((quantity, index) => ({ name: quantity.name, index }));
    const usual = states.filter(({ name }) => name === "hidden" || name === "cell");
    for (const { index } of usual.length > 0 ? usual : states.slice(0, 2)) shown.add(keyOf(at, index));
  });
  return {
    version: 0,
    base: null,
    sample: 0,
    shown,
    order: ordersOf(model)[0]!,
    from: 0,
    to: model.steps,
    cursor: null,
    selection: null,
    unit: null,
    trajectory: Math.max(0, model.layers.findIndex((layer) => layer.trajectory !== null)),
    // A finger drags to move about; a mouse has the wheel for that.
    dragSelects: !matchMedia("(pointer: coarse)").matches,
    selected: [],
    matches: [],
  };
}

/** Keeps the visible part within the axis, with at least five steps of it (or all there are). */
export function visible(from: number, to: number, steps: number): { from: number; to: number } {
  const width = clamp(to - from, Math.min(5, steps), steps);
  const start = clamp(from + (to - from - width) / 2, 0, steps - width);
  return { from: start, to: start + width };
}

export class Store {
  view: View;
  /** Ends what listens beyond the page's own elements, when another version takes its place. */
  readonly ended = new AbortController();
  private changed = new Set<keyof View>();
  private listeners: ((view: View, changed: Changes) => void)[] = [];

  constructor(view: View) {
    this.view = view;
  }

  /** Changes the view; listeners hear of it once before the next frame. */
  set(patch: Partial<View>): void {
    if (this.changed.size === 0) requestAnimationFrame(() => this.flush());
    this.view = { ...this.view, ...patch };
    for (const key of Object.keys(patch)) this.changed.add(key as keyof View);
  }

  listen(listener: (view: View, changed: Changes) => void): void {
    this.listeners.push(listener);
  }

  private flush(): void {
    const changed = this.changed;
    this.changed = new Set();
    for (const listener of this.listeners) listener(this.view, changed);
  }
}

/** In an address, a plus sign stands for a space. */
const short = (value: number): string => String(Number(value.toPrecision(6))).replace("+", "");

export function writeHash(view: View, model: Model): string {
  const first = firstView(model);
  const parts = [`s=${view.sample}`];
  if (view.version > 0 || view.base !== null) parts.push(`v=${view.version}${view.base === null ? "" : `,${view.base}`}`);
  const shown = [...view.shown].sort().join(",");
  if (shown !== [...first.shown].sort().join(",")) parts.push(`q=${shown}`);
  if (view.order !== first.order) parts.push(`o=${view.order}`);
  if (view.from > 0 || view.to < model.steps) parts.push(`z=${short(view.from)},${short(view.to)}`);
  if (view.cursor) {
    const { step, on } = view.cursor;
    parts.push(`c=${on ? [step, on.layer, on.quantity, on.unit].join() : step}`);
  }
  if (view.selection) {
    const { layer, quantity, sample, from, to, threshold, before, after } = view.selection;
    parts.push(`sel=${[layer, quantity, sample, from, to, short(threshold), +before, +after].join()}`);
  }
  if (view.unit) parts.push(`u=${view.unit.layer},${view.unit.unit}`);
  if (view.trajectory !== first.trajectory) parts.push(`t=${view.trajectory}`);
  return parts.join("&");
}

/** The view that an address tells of; whatever it leaves out or gets wrong is as at the start. */
export function readHash(hash: string, model: Model): View {
  const view = firstView(model);
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const numbers = (name: string): number[] =>
    (fields.get(name)?.split(",") ?? []).map((text) => (text === "" ? NaN : Number(text)));
  const within = (value: number | undefined, count: number): value is number =>
    value !== undefined && Number.isInteger(value) && value >= 0 && value < count;

  const [sample] = numbers("s");
  if (within(sample, model.samples)) view.sample = sample;
  const [version, base] = numbers("v");
  const versions = model.header.versions.length;
  if (within(version, versions)) view.version = version;
  if (within(base, versions) && base !== view.version) view.base = base;
  const shown = fields.get("q");
  if (shown !== null) {
    const known = model.layers.flatMap((layer, at) => layer.quantities.map((_, index) => keyOf(at, index)));
    view.shown = new Set(shown.split(",").filter((key) => known.includes(key)));
  }
  const order = ordersOf(model).find((name) => name === fields.get("o"));
  if (order) view.order = order;
  const [from = NaN, to = NaN] = numbers("z");
  if (from < to && Number.isFinite(to - from)) Object.assign(view, visible(from, to, model.steps));
  const [step, ...cursor] = numbers("c");
  const inLayer = (layer?: number, quantity?: number): boolean =>
    within(layer, model.layers.length) && within(quantity, model.layers[layer]!.quantities.length);
  if (within(step, model.steps)) {
    const [layer, quantity, unit] = cursor;
    const on = inLayer(layer, quantity) && within(unit, model.layers[layer!]!.units.length);
    view.cursor = { step, on: on ? { layer: layer!, quantity: quantity!, unit: unit! } : null };
  }
  const [layer, quantity, of, first, last, threshold, before, after] = numbers("sel");
  if (
    inLayer(layer, quantity) && within(of, model.samples) &&
    within(first, model.steps) && within(last, model.steps) && first <= last && Number.isFinite(threshold)
  ) {
    view.selection = {
      layer: layer!, quantity: quantity!, sample: of, from: first, to: last,
      threshold: threshold!, before: before === 1, after: after === 1,
    };
  }
  const [unitLayer, unit] = numbers("u");
  if (within(unitLayer, model.layers.length) && within(unit, model.layers[unitLayer]!.units.length)) {
    view.unit = { layer: unitLayer, unit };
  }
  const [trajectory] = numbers("t");
  if (within(trajectory, model.layers.length) && model.layers[trajectory]!.trajectory) view.trajectory = trajectory;
  return view;
}

/** In an iframe's srcdoc there is no address to change: the page works without a link to its view. */
export function writeAddress(hash: string): void {
  try {
    history.replaceState(null, "", `#${hash}`);
  } catch {
    // about:srcdoc, or a sandbox.
  }
}

/**
 * Keeps the address in step with the view, and the view with the address. Browsers limit how often
 * the address may change, hence the pause.
 */
export function linkAddress(store: Store, model: Model): void {
  let waiting: ReturnType<typeof setTimeout> | undefined;
  let written = "";
  store.listen((view) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const hash = writeHash(view, model);
      if (hash === written || store.ended.signal.aborted) return;
      written = hash;
      writeAddress(hash);
    }, 250);
  });
  addEventListener("hashchange", (event) => {
    // What the address was when it changed: by now the pause above may have ended.
    const { hash } = new URL(event.newURL);
    if (hash.slice(1) !== written) store.set(readHash(hash, model));
  }, { signal: store.ended.signal });
}
