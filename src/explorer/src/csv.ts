/** The shown values as a table, one value a line. */

import { shownValue, versionName, type Matrix, type Model } from "./data";
import { keyOf, type View } from "./state";

function field(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * The shown quantities and the series, at the visible steps of the sample. A series has no layer,
 * and a feature for a unit. A masked step, or one without a value, leaves the value empty. Where
 * there are several versions, the first column tells which one it is.
 */
export function csvText(model: Model, view: View): string {
  const several = model.header.versions.length > 1;
  const version = several ? `${field(versionName(model, view.version, view.base))},` : "";
  const lines = [`${several ? "version," : ""}sample,step,layer,quantity,unit,value`];
  const [from, to] = [Math.floor(view.from), Math.min(model.steps, Math.ceil(view.to))];
  const sample = field(model.header.samples[view.sample]!);
  const add = (layer: string, matrix: Matrix, names: string[]): void => {
    const middle = `${field(layer)},${field(matrix.name)}`;
    for (let step = from; step < to; step++) {
      const start = `${version}${sample},${model.header.steps[step]},${middle}`;
      names.forEach((name, column) => {
        const value = shownValue(matrix, view.sample, step, column);
        // Enough to tell neighbours among 65,535 values, however far they are from 0.
        lines.push(`${start},${field(name)},${Number.isNaN(value) ? "" : Number(value.toPrecision(12))}`);
      });
    }
  };
  for (const series of model.series) if (!series.whole) add("", series, series.features);
  model.layers.forEach((layer, at) =>
    layer.quantities.forEach((quantity, index) => {
      if (view.shown.has(keyOf(at, index))) add(layer.address, quantity, layer.units.map(String));
    }),
  );
  return `${lines.join("\n")}\n`;
}
