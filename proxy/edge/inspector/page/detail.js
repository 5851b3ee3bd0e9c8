// One exchange: its figures, and six ways to look at it. Everything from outside is text.

import { showEvents } from "./events.js";
import { showBodies, showHeads, showRaw } from "./panels.js";
import { button, make, put } from "./dom.js";
import { duration, sentence } from "./format.js";
import { Follow } from "./follow.js";
import { compared, showTimeline } from "./pictures.js";
import { ask } from "./source.js";

const TABS = ["Timeline", "Heads", "Bodies", "Events", "Raw", "Compare"];
const PANELS = [showTimeline, showHeads, showBodies, showEvents, showRaw, compared];
const TICK_MS = 250;

export class Detail {
  #element;
  #closed;
  #mark;
  #follow = null;
  #other = null;
  #tab = 0;
  #parts = null;
  #isDue = false;
  #panel = null;

  constructor(element, { closed, mark }) {
    this.#element = element;
    this.#closed = closed;
    this.#mark = mark;
    // An exchange that waits shows its waiting, though nothing comes.
    setInterval(() => this.#follow?.isOpen && this.#due(), TICK_MS);
    new ResizeObserver(() => this.#due()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#due());
  }

  show(id, marked) {
    if (this.#follow?.id === id) return;
    this.#follow?.stop();
    this.#follow = new Follow(id, () => this.#due());
    this.#compareWith(marked === id ? null : marked);
    this.#build();
    this.#element.hidden = false;
    document.body.classList.add("with-detail");
  }

  close() {
    if (this.#follow === null) return;
    this.#follow.stop();
    this.#other?.stop();
    this.#follow = this.#other = this.#parts = this.#panel = null;
    this.#element.hidden = true;
    this.#element.replaceChildren();
    document.body.classList.remove("with-detail");
    this.#closed();
  }

  tab(index) {
    if (this.#follow === null) return;
    this.#tab = index;
    this.#panel = null;
    this.#parts.tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
    });
    this.#parts.panel.setAttribute("aria-labelledby", this.#parts.tabs[index].id);
    this.#parts.panel.replaceChildren();
    this.#parts.panel.scrollTop = 0;
    this.#draw();
  }

  /** Along the tabs by arrows, as tab lists go. */
  #moveTab(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.stopPropagation();
    this.tab((this.#tab + by + TABS.length) % TABS.length);
    this.#parts.tabs[this.#tab].focus();
  }

  /** Marks this exchange as the one that others are compared with, or no longer. */
  toggleMark() {
    const marked = this.#mark(this.#follow.id);
    put(this.#parts.mark, marked === null ? "Mark to compare" : "Marked");
    this.#compareWith(null);
    this.tab(this.#tab);
  }

  #compareWith(id) {
    this.#other?.stop();
    this.#other = id === null ? null : new Follow(id, () => this.#due());
  }

  #build() {
    const tabs = TABS.map((name, index) => {
      const tab = button(name, () => this.tab(index), `key ${index + 1}`);
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", "panel");
      tab.id = `tab-${name.toLowerCase()}`;
      return tab;
    });
    const title = make("h2", "title");
    const told = make("p", "told");
    const figures = make("dl", "figures");
    const panel = make("div", "panel");
    panel.id = "panel";
    panel.tabIndex = 0;
    panel.setAttribute("role", "tabpanel");
    const mark = button("Mark to compare", () => this.toggleMark(), "key m");
    const said = make("span", "said-so");
    said.setAttribute("role", "status");
    const actions = make(
      "div", "exports", said, mark,
      button("Copy as curl", () => this.#copyCurl()),
      button("HAR", () => this.#save("har", "har")),
      button("Transcript", () => this.#save("transcript", "txt")),
      button("Close", () => this.close(), "key Esc"),
    );
    const bar = make("div", "tabs", ...tabs);
    bar.setAttribute("role", "tablist");
    bar.setAttribute("aria-label", "Ways to look at it");
    bar.addEventListener("keydown", (event) => this.#moveTab(event));
    this.#parts = { title, told, figures, panel, tabs, mark, said };
    this.#element.replaceChildren(make("div", "top", make("div", "about", title, told), actions), figures, bar, panel);
    this.tab(this.#tab);
  }

  #due() {
    if (this.#isDue || this.#follow === null) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    const one = this.#follow;
    if (one === null || this.#parts === null) return;
    if (one.state === "gone") {
      this.#parts.panel.replaceChildren(make("p", "hint", "This exchange is not known any more."));
      return;
    }
    if (one.summary === null) return;
    const { title, told, figures, panel } = this.#parts;
    const { summary } = one;
    put(title, `${summary.method ?? ""} ${summary.target ?? "(could not be read)"}`);
    put(told, `${summary.status ?? ""} ${sentence(summary)}; request ${summary.request_id}`.trim());
    showFigures(figures, summary, one);
    this.#panel ??= PANELS[this.#tab](panel, one, this.#other);
    this.#panel(one, this.#other);
  }

  async #copyCurl() {
    const response = await ask(`/api/exchanges/${this.#follow.id}/curl`);
    const text = await response.text();
    try {
      await navigator.clipboard.writeText(text);
      put(this.#parts.said, "copied; secrets are left out");
    } catch {
      const shown = make("textarea", "curl");
      shown.value = text;
      shown.readOnly = true;
      this.#parts.panel.prepend(shown);
      shown.select();
    }
  }

  async #save(what, ending) {
    const response = await ask(`/api/exchanges/${this.#follow.id}/${what}`);
    const link = make("a", "");
    link.href = URL.createObjectURL(await response.blob());
    link.download = `exchange-${this.#follow.id}.${ending}`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

function showFigures(list, summary, one) {
  const usage = [summary.input_tokens, summary.output_tokens].map((count) => count ?? "–").join(" in, ");
  const wanted = [
    ["first byte", duration(summary.first_byte_ms)],
    ["first token", duration(summary.first_token_ms ?? one.events.find((event) => event.first_token)?.at_ms)],
    ["duration", duration(summary.duration_ms ?? one.elapsed)],
    ["longest gap", summary.max_gap_ms ? duration(summary.max_gap_ms) : ""],
    ["events", String(summary.events ?? (one.events.length || ""))],
    ["tokens", usage === "– in, –" ? "" : `${usage} out`],
    ["tokens/s", String(summary.tokens_per_s ?? "")],
    ["dialect", summary.dialect ?? one.dialect ?? ""],
    ["upstream", summary.upstream ?? ""],
    ["worker", summary.worker ? String(summary.worker) : ""],
  ].filter(([, value]) => value);
  const text = wanted.map((pair) => pair.join(" ")).join("\n");
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(...wanted.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
}
