/** Decoding, the address and the table, on a small model with odd offsets, a mask and hostile names. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Block, Header } from "../src/contract";
import { csvText } from "../src/csv";
import { readBytes, readModels, shownValue, tokenAt, valueAt, type Model } from "../src/data";
import { firstView, readHash, visible, writeHash, type View } from "../src/state";

// The first view asks whether the pointer is a finger.
Object.assign(globalThis, { matchMedia: () => ({ matches: false }) });

const EVIL = '</script>,"x"';
const bytes: number[] = [];

function block(size: 1 | 2, shape: number[], values: number[], low: number, step: number): Block {
  const at = bytes.length;
  const [, steps = 1, width = 1] = shape;
  const change = (value: number, place: number): number =>
    place % (steps * width) < width ? value : (value - values[place - width]!) & (size === 1 ? 0xff : 0xffff);
  const codes = shape.length === 3 ? values.map(change) : values;
  for (const code of codes) bytes.push(...(size === 1 ? [code] : [code & 255, code >> 8]));
  const columns = shape.at(-1)!;
  return { at, bytes: size, shape, low: Array(columns).fill(low), step: Array(columns).fill(step) };
}

// Two samples of three steps and two units; one byte ahead of them makes an odd offset.
bytes.push(0);
const cell = block(2, [2, 3, 2], [0, 1, 2, 3, 4, 65535, 6, 7, 8, 9, 10, 11], -1, 0.5);
const gate = block(1, [2, 3, 2], [0, 254, 10, 20, 30, 40, 255, 255, 60, 70, 80, 90], 0, 1 / 254);
const header: Header = {
  title: "t",
  versions: [""],
  samples: ["a", EVIL],
  chosen: "",
  precision: "",
  steps: [5, 7, 9],
  layers: [
    {
      address: EVIL, kind: "lstm", backwards: false, units: [3, 8],
      quantities: [
        { name: "cell", long_name: "cell state", values: cell },
        { name: "forget", long_name: "", values: gate },
      ],
      mask: block(1, [2, 3], [1, 1, 1, 0, 1, 1], 0, 1), half_life: null, by_memory: [0, 1], alike: [1, 0],
      memory: { state: "cell", kept: "forget", written: block(1, [2, 3, 2], [...Array(12).keys()], 0, 1) }, trajectory: null, connections: [],
    },
  ],
  series: [{ name: "goal", role: "target", features: ["up"], values: block(1, [2, 1], [1, 2], 0, 1) }],
  tokens: { vocabulary: ["", "one"], codes: block(1, [2, 3], [1, 0, 1, 0, 0, 1], 0, 1) },
  labels: null,
};

const packed = gzipSync(Uint8Array.from(bytes)).toString("base64");
const [model] = readModels(header, await readBytes(packed)) as [Model];

test("codes become values at odd offsets too", () => {
  const [state, forget] = model.layers[0]!.quantities;
  assert.equal(valueAt(state!.grid, 0, 1, 1), 0.5);
  assert.ok(Number.isNaN(valueAt(state!.grid, 0, 2, 1)), "the largest code is no value");
  assert.ok(Number.isNaN(shownValue(state!, 1, 0, 0)), "a masked step shows none");
  assert.equal(forget!.title, "forget");
  assert.deepEqual(forget!.statistics().colours, { low: 0, high: 1, diverging: false });
  assert.equal(state!.statistics().colours.diverging, true);
  assert.equal(state!.statistics().min, -1);
  assert.equal(model.series[0]!.whole, true);
  assert.equal(valueAt(model.series[0]!.grid, 1, 0, 0), 2);
  assert.equal(tokenAt(model, 0, 2), "one");
});

test("an address gives the view that it was made from", () => {
  const view: View = {
    ...firstView(model), sample: 1, shown: new Set(["0.1"]), order: "number", from: 0, to: 3,
    cursor: { step: 2, on: { layer: 0, quantity: 1, unit: 1 } },
    selection: { layer: 0, quantity: 0, sample: 1, from: 1, to: 2, threshold: 0.25, before: true, after: false },
    unit: { layer: 0, unit: 1 },
  };
  assert.deepEqual(readHash(`#${writeHash(view, model)}`, model), view);
});

test("an address that makes no sense gives the first view", () => {
  for (const hash of ["#s=9&c=7&u=0,2", "#sel=0,0,0,2,1,0,0,0", "#s=-1&z=5,1&o=size", "#o=memory", "#c=x&sel=0,9,0,0,0,0,0,0", "#%"]) {
    assert.deepEqual(readHash(hash, model), firstView(model), hash);
  }
});

test("the visible part stays within the axis", () => {
  assert.deepEqual(visible(-10, 5, 100), { from: 0, to: 15 });
  assert.deepEqual(visible(98, 99, 100), { from: 95, to: 100 });
  assert.deepEqual(visible(0, 50, 3), { from: 0, to: 3 });
});

test("the table quotes names and leaves out what has no value", () => {
  const quoted = '"</script>,""x"""';
  const lines = csvText(model, { ...firstView(model), sample: 1 }).trimEnd().split("\n");
  assert.equal(lines[0], "sample,step,layer,quantity,unit,value");
  assert.equal(lines[1], `${quoted},5,${quoted},cell,3,`);
  assert.equal(lines[3], `${quoted},7,${quoted},cell,3,3`);
  assert.equal(lines.length, 1 + 3 * 2 * 1);
});
