/** Which recording of the same samples is shown, and which one is taken from it. */

import { el } from "./dom";
import type { View } from "./state";

/** More names than this are stepped through, as epochs are. */
const FEW = 4;

export class VersionBar {
  readonly element = el("div", { class: "versions", role: "group", "aria-label": "Versions" });
  private version = el("select", { id: "version" });
  private slider = el("input", { type: "range", id: "version-slider", min: 0, step: 1, "aria-label": "Version" });
  private base = el("select", { id: "base" });
  /** What is to be taken from each version, except from itself. */
  private wanted: number | null = null;
  private change: (version: number, base: number | null) => void = () => {};

  constructor(names: string[]) {
    this.element.hidden = names.length < 2;
    names.forEach((name, at) => {
      this.version.append(el("option", { value: at }, name));
      this.base.append(el("option", { value: at }, name));
    });
    this.base.prepend(el("option", { value: "" }, "nothing"));
    this.slider.max = String(names.length - 1);
    this.slider.hidden = names.length <= FEW;
    this.element.append(el("label", {}, "Version ", this.version), this.slider, el("label", {}, "less ", this.base));
    const tell = (version: number): void => this.change(version, this.wanted === version ? null : this.wanted);
    this.version.addEventListener("change", () => tell(Number(this.version.value)));
    this.base.addEventListener("change", () => {
      this.wanted = this.base.value === "" ? null : Number(this.base.value);
      tell(Number(this.version.value));
    });
    this.slider.addEventListener("input", () => tell(this.slider.valueAsNumber));
  }

  /** Shows what is chosen; from now on, `change` hears of another choice. */
  choose(view: View, change: (version: number, base: number | null) => void): void {
    this.version.value = String(view.version);
    this.slider.value = String(view.version);
    this.slider.setAttribute("aria-valuetext", this.version.selectedOptions[0]?.textContent ?? "");
    for (const option of this.base.options) option.disabled = option.value === String(view.version);
    if (view.base !== null || this.wanted !== view.version) this.wanted = view.base;
    this.base.value = this.wanted === null ? "" : String(this.wanted);
    this.change = change;
  }
}
