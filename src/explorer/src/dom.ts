/** Makes elements. Texts go in as text nodes: names from the data can't become markup. */

type Attributes = Record<string, string | number | boolean>;
type Child = Node | string | null;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/** A button that does one thing when it is pressed. */
export function button(text: string, attributes: Attributes, press: () => void): HTMLButtonElement {
  const element = el("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", press);
  return element;
}

/** Three digits that matter; a true minus sign. */
export function digits(value: number): string {
  if (Number.isNaN(value)) return "no value";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

/** A half-life in words. */
export function lifeText(life: number | "never"): string {
  return life === "never" ? "never halves" : `${digits(life)} steps`;
}

/** Scrolls a column that scrolls by itself, so that a part of it is in sight; never the page. */
export function bringUp(part: HTMLElement): void {
  const column = part.parentElement;
  if (column !== null && getComputedStyle(column).position === "sticky") column.scrollTop = part.offsetTop;
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
