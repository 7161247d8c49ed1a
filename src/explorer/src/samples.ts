/** The list of samples, to be searched by name or label. */

import { labelOf, type Model } from "./data";
import { button, clamp, el } from "./dom";
import type { Store, View } from "./state";

/** More entries than this are no list to read: search narrows it. */
const MOST = 500;

export function sampleList(store: Store, model: Model): HTMLElement {
  const search = el("input", { type: "search", id: "search", placeholder: "Search samples", "aria-label": "Search samples" });
  const list = el("ul", { id: "samples", role: "listbox", tabindex: 0, "aria-label": "Samples" });
  const more = el("p", { class: "hint" });
  const details = el(
    "details", {},
    el("summary", {}, `Samples (${model.samples})`),
    search, list, more,
  );
  if (model.header.chosen) details.append(el("p", { class: "hint" }, model.header.chosen));
  const items = new Map<number, HTMLElement>();

  const fill = (): void => {
    const words = search.value.trim().toLowerCase();
    const found = model.header.samples
      .map((name, sample) => ({ name, sample, label: labelOf(model, sample) }))
      .filter(({ name, label }) => `${name} ${label}`.toLowerCase().includes(words));
    items.clear();
    list.replaceChildren(
      ...found.slice(0, MOST).map(({ name, sample, label }) => {
        const item = el(
          "li", { role: "option", id: `sample-${sample}`, "data-sample": sample },
          el("span", { class: "name" }, name), label ? el("span", { class: "tag", title: label }, label) : null,
        );
        items.set(sample, item);
        return item;
      }),
    );
    more.textContent = found.length > MOST ? `${found.length - MOST} more: search to see them.` : found.length === 0 ? "None found." : "";
    mark(store.view);
  };
  let marked: HTMLElement | undefined;
  const mark = (view: View): void => {
    marked?.removeAttribute("aria-selected");
    marked = items.get(view.sample);
    list.removeAttribute("aria-activedescendant");
    if (!marked) return;
    marked.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", marked.id);
    // Scrolls the list alone; scrollIntoView would move the page as well.
    const { offsetTop, offsetHeight } = marked;
    if (offsetTop < list.scrollTop) list.scrollTop = offsetTop;
    const below = offsetTop + offsetHeight - list.clientHeight;
    if (below > list.scrollTop) list.scrollTop = below;
  };

  search.addEventListener("input", fill);
  list.addEventListener("click", (event) => {
    const item = event.target instanceof Element ? event.target.closest("[data-sample]") : null;
    if (item) store.set({ sample: Number(item.getAttribute("data-sample")) });
  });
  list.addEventListener("keydown", (event) => {
    const found = [...items.keys()];
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || found.length === 0) return;
    event.preventDefault();
    const at = found.indexOf(store.view.sample);
    store.set({ sample: found[clamp(at < 0 ? 0 : at + by, 0, found.length - 1)]! });
  });
  store.listen((view, changed) => {
    if (changed.has("sample")) mark(view);
  });
  // Beside the rows the list is always open; on a phone it opens on demand.
  const wide = matchMedia("(min-width: 900px)");
  const open = (): void => void (details.open = wide.matches);
  wide.addEventListener("change", open, { signal: store.ended.signal });
  open();
  fill();
  return el("nav", { class: "samples", "aria-label": "Samples" }, details);
}

/** The sample before and after, for those without keys. */
export function sampleSteps(store: Store, model: Model): HTMLElement {
  const move = (by: number) => (): void =>
    store.set({ sample: clamp(store.view.sample + by, 0, model.samples - 1) });
  const previous = button("‹", { id: "previous-sample", "aria-label": "Previous sample" }, move(-1));
  const next = button("›", { id: "next-sample", "aria-label": "Next sample" }, move(1));
  const name = el("output", { id: "sample-name" });
  const show = (view: View): void => {
    const label = labelOf(model, view.sample);
    name.textContent = `${model.header.samples[view.sample]}${label ? ` (${label})` : ""}`;
    previous.disabled = view.sample === 0;
    next.disabled = view.sample === model.samples - 1;
  };
  show(store.view);
  store.listen(show);
  return el("div", { class: "bar", role: "group", "aria-label": "Sample" }, previous, name, next);
}
