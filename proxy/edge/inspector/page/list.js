// The list: as many rows as there is room for, whatever the number of exchanges.

import { byId, make, put, svg } from "./dom.js";
import { clock, duration, kind, sentence, standing, tokens } from "./format.js";

const ROW = 28;
const SPARE = 6;
const SPARK = { width: 96, height: 18 };

export class List {
  #rows = byId("rows");
  #spacer = byId("spacer");
  #pool = [];
  #shown = [];
  #onSelect;
  selected = null;
  marked = null;

  constructor(onSelect) {
    this.#onSelect = onSelect;
    this.#rows.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.#rows);
  }

  /** Shows these; who has scrolled away from the top keeps looking at the same rows. */
  show(exchanges) {
    const scrolled = this.#rows.scrollTop;
    const anchor = scrolled > ROW / 2 ? this.#shown[Math.floor(scrolled / ROW)] : null;
    const before = anchor ? Math.floor(scrolled / ROW) : 0;
    this.#shown = exchanges;
    const height = `${exchanges.length * ROW}px`;
    if (this.#spacer.style.height !== height) this.#spacer.style.height = height;
    if (anchor) {
      const at = exchanges.findIndex(({ id }) => id === anchor.id);
      if (at >= 0 && at !== before) this.#rows.scrollTop = scrolled + (at - before) * ROW;
    }
    byId("nothing").hidden = exchanges.length > 0;
    this.draw();
  }

  draw() {
    const { scrollTop, clientHeight } = this.#rows;
    // A list that has become shorter is scrolled back later, and nobody is told.
    const top = Math.min(scrollTop, Math.max(0, this.#shown.length * ROW - clientHeight));
    const first = Math.max(0, Math.floor(top / ROW) - SPARE);
    const room = Math.ceil(clientHeight / ROW) + 2 * SPARE;
    const visible = this.#shown.slice(first, first + room);
    while (this.#pool.length < visible.length) this.#pool.push(this.#make());
    this.#pool.forEach((row, index) => {
      const one = visible[index];
      row.element.hidden = one === undefined;
      if (one !== undefined) this.#fill(row, one, first + index);
    });
  }

  /** Selects the neighbour `by` rows further down. */
  move(by) {
    if (!this.#shown.length) return;
    const at = this.#shown.findIndex(({ id }) => id === this.selected);
    const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), this.#shown.length - 1);
    this.choose(this.#shown[next].id);
    const top = next * ROW;
    const { scrollTop, clientHeight } = this.#rows;
    if (top < scrollTop) this.#rows.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.#rows.scrollTop = top + ROW - clientHeight;
  }

  choose(id) {
    this.selected = id;
    this.#onSelect(id);
    this.draw();
  }

  #make() {
    const cells = Array.from({ length: 10 }, (_, index) => make("span", [4, 6, 7, 8, 9].includes(index) ? "number" : ""));
    cells[1].className = "route";
    cells[3].className = "target";
    cells[5].className = "outcome";
    const path = svg("path", { d: "" });
    const spark = svg("svg", { viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, "aria-hidden": "true", class: "spark" });
    spark.append(path);
    const element = make("div", "row columns", ...cells, spark);
    element.setAttribute("role", "option");
    const row = { element, cells, path, id: null, drawn: null };
    element.addEventListener("click", () => this.choose(row.id));
    this.#spacer.append(element);
    return row;
  }

  #fill(row, one, index) {
    const { element } = row;
    const top = `${index * ROW}px`;
    if (element.style.top !== top) element.style.top = top;
    const isSelected = one.id === this.selected;
    element.setAttribute("aria-selected", String(isSelected));
    element.setAttribute("aria-posinset", String(index + 1));
    element.setAttribute("aria-setsize", String(this.#shown.length));
    if (isSelected) this.#rows.setAttribute("aria-activedescendant", `row-${one.id}`);
    element.classList.toggle("marked", one.id === this.marked);
    if (row.drawn === one) return;
    row.drawn = one;
    row.id = one.id;
    element.id = `row-${one.id}`;
    element.dataset.kind = kind(one);
    const values = [
      clock(one.time), one.route ?? "", one.method ?? "", one.target ?? "", one.status ? String(one.status) : "",
      (one.stream ? "≋ " : "") + standing(one), duration(one.first_byte_ms),
      one.open ? "" : duration(one.duration_ms), one.open ? String(one.pieces ?? "") : String(one.events ?? ""), tokens(one),
    ];
    values.forEach((value, at) => put(row.cells[at], value));
    row.cells[3].title = one.target ?? "";
    row.cells[5].title = (one.stream ? `a stream, by ${one.stream}; ` : "") + sentence(one);
    row.cells[8].title = one.open ? "pieces so far" : "events";
    row.path.setAttribute("d", spark(one.gaps_ms));
  }
}

/** A bar for each gap, the longest as tall as there is room for; the square root keeps small ones visible. */
function spark(gaps) {
  if (!gaps || gaps.length < 2) return "";
  const most = Math.sqrt(Math.max(...gaps, 50));
  const step = SPARK.width / 32;
  return gaps
    .map((gap, index) => {
      const tall = Math.max(1, (Math.sqrt(gap) / most) * (SPARK.height - 2));
      return `M${(index * step + 1).toFixed(1)} ${SPARK.height - 1}v${(-tall).toFixed(1)}`;
    })
    .join("");
}
