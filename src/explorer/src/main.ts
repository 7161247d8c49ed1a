/** Reads the page's data and puts the parts together. */

import { Board } from "./board";
import { setScheme } from "./colours";
import type { Header } from "./contract";
import { zoom } from "./cursor";
import { difference, readBytes, readModels, sampleName, type Model } from "./data";
import { button, el } from "./dom";
import { saveCsv, savePng } from "./export";
import { stepsShown } from "./heatmap";
import { helpDialog } from "./help";
import { listenToKeys } from "./keys";
import { overview } from "./overview";
import { listenToPointers } from "./pointers";
import { readout, spoken } from "./readout";
import { sampleList, sampleSteps } from "./samples";
import { deriveMatches, selectPanel } from "./select";
import { linkAddress, ordersOf, readHash, Store, writeAddress, writeHash, type Order, type View } from "./state";
import { trajectoryPanel } from "./trajectory";
import { unitPanel } from "./unit";
import { VersionBar } from "./versions";

const ORDER_NAMES: Record<Order, string> = {
  memory: "memory, longest first",
  alike: "likeness",
  number: "number",
};

function toolbar(store: Store, model: Model, board: Board, help: HTMLDialogElement): HTMLElement {
  const order = el("select", { id: "order" });
  for (const name of ordersOf(model)) order.append(el("option", { value: name }, ORDER_NAMES[name]));
  order.addEventListener("change", () => store.set({ order: order.value as Order }));
  const drag = button("Drag selects", { id: "drag-selects", title: "Whether dragging in a heat map selects steps or moves along the axis" }, () =>
    store.set({ dragSelects: !store.view.dragSelects }),
  );
  const show = (): void => {
    order.value = store.view.order;
    drag.setAttribute("aria-pressed", String(store.view.dragSelects));
    board.element.classList.toggle("selecting", store.view.dragSelects);
  };
  show();
  store.listen(show);
  return el(
    "div", { class: "toolbar", role: "group", "aria-label": "View" },
    sampleSteps(store, model),
    el("div", { class: "bar", role: "group", "aria-label": "Zoom" },
      button("−", { id: "zoom-out", "aria-label": "Zoom out" }, () => zoom(store, model, 2)),
      button("+", { id: "zoom-in", "aria-label": "Zoom in" }, () => zoom(store, model, 0.5)),
      button("All", { id: "zoom-all", title: "The whole sequence" }, () => store.set({ from: 0, to: model.steps })),
    ),
    el("label", {}, "Units by ", order),
    drag,
    el("div", { class: "bar", role: "group", "aria-label": "Export" },
      button("PNG", { id: "export-png", title: "Save the shown rows as a picture" }, () => savePng(model, store, board)),
      button("CSV", { id: "export-csv", title: "Save the shown values as a table" }, () => saveCsv(model, store.view)),
    ),
    button("?", { id: "help", "aria-label": "Help" }, () => help.showModal()),
  );
}

/** On paper there is no toolbar to tell the sample. */
function paperTitle(store: Store, model: Model): HTMLElement {
  const title = el("p", { class: "paper" });
  const show = (): void => void (title.textContent = `${sampleName(model, store.view.sample)}, ${stepsShown(model, store.view)}`);
  show();
  store.listen(show);
  return title;
}

/**
 * Shows what an address tells of. Another version is another model with the same view: the page is
 * made anew, all but the bar that chooses it, which may be in someone's hand.
 */
function show(page: HTMLElement, versions: Model[], bar: VersionBar, hash: string, kept: Partial<View> = {}): void {
  const view = readHash(hash, versions[0]!);
  const chosen = versions[view.version]!;
  const model = view.base === null ? chosen : difference(chosen, versions[view.base]!);
  const store = new Store({ ...view, ...kept });
  deriveMatches(store, model);
  const board = new Board(model, store);
  const help = helpDialog([model.header.chosen, model.header.precision]);
  page.replaceChildren(
    el("header", {}, el("h1", {}, model.header.title), paperTitle(store, model), toolbar(store, model, board, help)),
    el("div", { class: "columns" },
      sampleList(store, model),
      el("main", {}, overview(store, model, board), board.element),
      el("aside", {},
        readout(store, model, board.element), unitPanel(store, model),
        trajectoryPanel(store, model, board), selectPanel(store, model),
      ),
    ),
    spoken,
    help,
  );
  board.repaint();
  listenToPointers(store, model, board);
  listenToKeys(store, model, board, () => help.showModal());
  linkAddress(store, model);
  bar.choose(view, (version, base) => store.set({ version, base }));
  store.listen((now, changed) => {
    if (!changed.has("version") && !changed.has("base")) return;
    store.ended.abort();
    const address = writeHash(now, model);
    writeAddress(address);
    show(page, versions, bar, address, { dragSelects: now.dragSelects });
  });
}

async function main(): Promise<void> {
  const root = document.getElementById("explorer")!;
  const header = JSON.parse(document.getElementById("header")!.textContent!) as Header;
  const values = document.getElementById("values")!;
  const bytes = await readBytes(values.textContent!);
  // The text has done its work; as long as it stays, it takes memory.
  values.textContent = "";
  setScheme(false);
  const versions = readModels(header, bytes);
  const bar = new VersionBar(header.versions);
  const page = el("div", { class: "page" });
  root.replaceChildren(bar.element, page);
  show(page, versions, bar, location.hash);
  // Says that all is drawn and listens.
  root.dataset["ready"] = "true";
}

main().catch((error: unknown) => {
  const root = document.getElementById("explorer");
  root?.replaceChildren(el("p", { role: "alert" }, `This page could not be read: ${String(error)}`));
});
