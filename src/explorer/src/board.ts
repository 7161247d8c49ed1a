/** The rows on the screen: their canvases, and when which of them are painted anew. */

import { readTheme, setScheme, type Theme } from "./colours";
import type { Model } from "./data";
import { el, plural } from "./dom";
import { frameOf, type Frame } from "./frame";
import { layerRow } from "./heatmap";
import { memoryRow } from "./memory";
import type { Legend, Row } from "./row";
import { seriesRow, unitRow } from "./series";
import { keyOf, type Changes, type Store, type View } from "./state";
import { tokensRow } from "./tokens";

interface Mounted {
  row: Row;
  figure: HTMLElement;
  base: HTMLCanvasElement;
  over: HTMLCanvasElement;
  caption: HTMLElement;
  /** The colours that the caption's legend was made with. */
  captioned: Theme | null;
}

/** Canvases that stand for rows, so that pointers find theirs. */
export const rowOf = new WeakMap<Element, Row>();

export function sizeCanvas(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = devicePixelRatio || 1;
  const [pixelsWide, pixelsHigh] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixelsWide || canvas.height !== pixelsHigh) {
    canvas.width = pixelsWide;
    canvas.height = pixelsHigh;
  }
  const ctx = canvas.getContext("2d")!;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

export function legendElement(legend: Legend): HTMLElement {
  if ("ramp" in legend) {
    const bar = el("span", { class: "ramp", "aria-hidden": true });
    const stops = Array.from({ length: 17 }, (_, at) => legend.ramp(at / 16));
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const [low, middle, high] = legend.marks;
    const marks = el("span", { class: "marks" }, el("span", {}, low), el("span", {}, middle), el("span", {}, high));
    return el("span", { class: "legend scale", "aria-label": `Colours from ${low} to ${high}`, role: "img" }, bar, marks);
  }
  const list = el("span", { class: "legend" });
  for (const { name, colour, dashed } of legend.lines) {
    const swatch = el("span", { class: dashed ? "swatch dashed" : "swatch", "aria-hidden": true });
    swatch.style.borderColor = colour;
    list.append(el("span", { class: "entry" }, swatch, name));
  }
  return list;
}

export class Board {
  readonly element = el("div", { id: "rows" });
  theme: Theme = readTheme();
  frame: Frame;
  private mounted: Mounted[] = [];
  private slots: HTMLElement[] = [];
  private unitKey = "";

  constructor(private model: Model, private store: Store) {
    this.frame = frameOf(600, store.view);
    const head = el("div", { class: "group" });
    this.element.append(head);
    if (model.tokens) this.mount(tokensRow(model), head);
    const roles = ["input", "output", "target"];
    model.series
      .map((series, at) => ({ series, at }))
      .filter(({ series }) => !series.whole)
      .sort((a, b) => roles.indexOf(a.series.role) - roles.indexOf(b.series.role))
      .forEach(({ series, at }) => this.mount(seriesRow(model, series, at), head));
    model.layers.forEach((_, at) => this.addLayer(at));
    this.syncRows(store.view);

    new ResizeObserver(() => this.repaint()).observe(this.element);
    const repaint = (printing: boolean) => () => {
      setScheme(printing);
      this.theme = readTheme();
      this.repaint();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint(false), { signal: store.ended.signal });
    addEventListener("beforeprint", repaint(true), { signal: store.ended.signal });
    addEventListener("afterprint", repaint(false), { signal: store.ended.signal });
    store.listen((view, changed) => this.update(view, changed));
  }

  /** The rows shown, from the top, with the headings of their layers. */
  get rows(): { row: Row; heading: string }[] {
    return [...this.element.querySelectorAll("canvas.base")].map((canvas) => {
      const row = rowOf.get(canvas)!;
      const layer = canvas.closest("section[data-layer]")?.getAttribute("data-layer");
      return { row, heading: layer == null ? "" : this.model.layers[Number(layer)]!.address };
    });
  }

  private addLayer(at: number): void {
    const layer = this.model.layers[at]!;
    const toggles = el("div", { class: "toggles", role: "group", "aria-label": `Quantities of ${layer.address}` });
    layer.quantities.forEach((quantity, index) => {
      const key = keyOf(at, index);
      const box = el("input", { type: "checkbox", "data-layer": at, "data-quantity": quantity.name, "data-key": key });
      box.checked = this.store.view.shown.has(key);
      box.addEventListener("change", () => {
        const shown = new Set(this.store.view.shown);
        if (box.checked) shown.add(key);
        else shown.delete(key);
        this.store.set({ shown });
      });
      toggles.append(el("label", { title: quantity.title }, box, quantity.name));
    });
    const facts = [layer.kind, plural(layer.units.length, "unit")];
    if (layer.backwards) facts.push("runs backwards: from the last step to the first");
    const slot = el("div", { class: "group" });
    const heading = el("h2", {}, layer.address, " ", el("span", { class: "facts" }, facts.join(" · ")));
    this.element.append(
      el("section", { "data-layer": at, "aria-label": layer.address }, el("div", { class: "head" }, heading, toggles), slot),
    );
    this.slots[at] = slot;
  }

  private mount(row: Row, parent: HTMLElement, before: Element | null = null): void {
    const base = el("canvas", { class: "base", role: "img", tabindex: row.at ? 0 : false });
    const over = el("canvas", { class: "over", "aria-hidden": true });
    const plot = el("div", { class: "plot", "data-row": row.id }, base, over);
    plot.style.height = `${row.height}px`;
    const layer = row.at && this.model.layers[row.at.layer];
    if (row.at && layer) {
      plot.dataset["layer"] = String(row.at.layer);
      plot.dataset["quantity"] = layer.quantities[row.at.quantity]!.name;
    }
    const caption = el("figcaption", {});
    const figure = el("figure", {}, caption, plot);
    rowOf.set(base, row);
    rowOf.set(plot, row);
    parent.insertBefore(figure, before);
    this.mounted.push({ row, figure, base, over, caption, captioned: null });
  }

  /** Mounts and removes heat maps as toggled, and the row of the unit whose page is open. */
  private syncRows(view: View): void {
    this.model.layers.forEach((layer, at) => {
      const slot = this.slots[at]!;
      layer.quantities.forEach((_, index) => {
        const key = keyOf(at, index);
        const present = this.mounted.find(({ row }) => row.id === key);
        if (view.shown.has(key) && !present) {
          const later = [...slot.children].find((child) =>
            this.mounted.some((one) => one.figure === child && (one.row.at === null || one.row.at.quantity > index)),
          );
          this.mount(layerRow(this.model, at, index), slot, later ?? null);
        } else if (!view.shown.has(key) && present) this.unmount(present);
        const box = this.element.querySelector<HTMLInputElement>(`input[data-key="${key}"]`);
        if (box) box.checked = view.shown.has(key);
      });
    });
    const unitKey = view.unit ? `unit-${keyOf(view.unit.layer, view.unit.unit)}` : "";
    if (unitKey !== this.unitKey) {
      for (const old of this.mounted.filter(({ row }) => /^(unit|memory)-/.test(row.id))) this.unmount(old);
      if (view.unit) {
        const { layer, unit } = view.unit;
        this.mount(unitRow(this.model, layer, unit), this.slots[layer]!);
        if (this.model.layers[layer]!.memory) this.mount(memoryRow(this.model, layer, unit), this.slots[layer]!);
      }
      this.unitKey = unitKey;
    }
  }

  private unmount(one: Mounted): void {
    one.figure.remove();
    this.mounted.splice(this.mounted.indexOf(one), 1);
  }

  private update(view: View, changed: Changes): void {
    if (changed.has("shown") || changed.has("unit")) this.syncRows(view);
    const base: (keyof View)[] = ["sample", "shown", "order", "from", "to", "unit"];
    if (base.some((key) => changed.has(key))) this.repaint();
    else this.repaintOver();
  }

  repaint(): void {
    const { view } = this.store;
    const width = this.element.clientWidth;
    if (width === 0) return;
    this.frame = frameOf(width, view);
    for (const one of this.mounted) {
      const { row, base, caption } = one;
      if (one.captioned !== this.theme) {
        const legend = row.legend(this.theme);
        caption.replaceChildren(el("span", { class: "name" }, row.title));
        if (legend) caption.append(legendElement(legend));
        one.captioned = this.theme;
      }
      base.setAttribute("aria-label", row.describe(view));
      row.paint(sizeCanvas(base, width, row.height), this.frame, view, this.theme);
    }
    this.repaintOver();
  }

  private repaintOver(): void {
    const { view } = this.store;
    for (const { row, over } of this.mounted) {
      row.overlay(sizeCanvas(over, this.frame.width, row.height), this.frame, view, this.theme);
    }
  }
}
