// The panels with pictures: one timeline with the text as it grows, and two timelines over each other.

import { button, make, put } from "./dom.js";
import { duration, moment, standing, visible } from "./format.js";
import { showFaults } from "./faults.js";
import { at, draw, momentAt, waited } from "./timeline.js";
import { steer, View } from "./view.js";

const SHOWN_TEXT = 100_000;
const SIDES = ["upstream", "client", "proxy"];
const CHANNELS = { reasoning: "reasoning", text: "answer", tool: "tool calls" };
const HOW = "Zoom: wheel, or draw over a part, or keys + − 0 ← →";

function picture() {
  const canvas = make("canvas", "timeline");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-keyshortcuts", "+ - 0 ArrowLeft ArrowRight");
  return canvas;
}

function span(...exchanges) {
  return Math.max(20, ...exchanges.filter(Boolean).map((one) => one.elapsed * 1.02));
}

/** In words what the picture shows. */
function described(one) {
  const pieces = one.marks.filter(([, , , size]) => size).length;
  const stalls = one.waits.filter(([, , , isStall]) => isStall);
  const named = stalls.map(([since, until, side]) => `${((until - since) / 1000).toFixed(1)} s waiting for the ${side}`);
  return `${pieces} pieces in ${duration(one.elapsed)}${named.length ? `; stalls: ${named.join(", ")}` : "; no stalls"}`;
}

/** What stands under pictures: what the pointer is at, which part is shown, and buttons that change it. */
class Tools {
  #range = make("span", "range");
  #whole;
  pointed = make("p", "pointed");
  element;

  constructor(view, whole) {
    const act = (label, title, run) => button(label, run, title);
    this.#whole = act("Whole", "key 0", () => view.reset());
    const out = act("−", "zoom out, key -", () => view.zoom(1 / 1.5, null, whole()));
    const into = act("+", "zoom in, key +", () => view.zoom(1.5, null, whole()));
    out.setAttribute("aria-label", "Zoom out");
    into.setAttribute("aria-label", "Zoom in");
    this.element = make("div", "tools", this.pointed, this.#range, make("div", "zoom", out, into, this.#whole));
  }

  draw(view, whole) {
    const [from, to] = view.range(whole);
    this.#whole.disabled = view.isWhole;
    put(this.#range, view.isWhole ? "" : `${moment(from, to - from)} to ${moment(to, to - from)} of ${duration(whole)}`);
    if (!this.pointed.textContent) put(this.pointed, HOW);
  }
}

/** Lets a picture be pointed at and steered. */
function live(canvas, view, tools, { one, whole, onClick }) {
  const toMs = (offsetX) => momentAt(canvas, view.range(whole()), offsetX);
  steer(canvas, view, { whole, toMs, onClick });
  canvas.addEventListener("pointermove", ({ offsetX }) => {
    const [from, to] = view.range(whole());
    put(tools.pointed, at(one, toMs(offsetX), to - from));
  });
  canvas.addEventListener("pointerleave", () => put(tools.pointed, HOW));
}

export function showTimeline(panel, one) {
  if (one.summary.captured === false && !one.marks.length) {
    panel.replaceChildren(make("p", "hint", "Heads and bodies of this exchange were not copied: no page was open."));
    return () => {};
  }
  const canvas = picture();
  const whole = () => span(one);
  const view = new View(() => redraw());
  const tools = new Tools(view, whole);
  const chosen = make("div", "chosen");
  const { legend, shares } = key();
  const faults = make("ul", "faults");
  const words = make("div", "words");
  const notes = make("p", "hint");
  panel.replaceChildren(canvas, tools.element, chosen, legend, notes, faults, words);
  const redraw = () => {
    draw(canvas, one, view.range(whole()), view.selection);
    tools.draw(view, whole());
  };
  live(canvas, view, tools, { one, whole, onClick: (ms) => showNearest(chosen, one, ms) });
  return () => {
    redraw();
    canvas.setAttribute("aria-label", described(one));
    const totals = waited(one);
    for (const [side, value] of shares) put(value, duration(totals[side]));
    put(notes, noted(one.summary));
    showFaults(faults, one);
    showWords(words, one);
  };
}

function key() {
  const legend = make("p", "legend");
  const shares = SIDES.map((side) => {
    const value = make("b", "");
    legend.append(make("span", `key ${side}`, `waited for ${side} `, value));
    return [side, value];
  });
  return { legend, shares };
}

/** The event whose last byte left nearest to a moment. */
function showNearest(element, one, ms) {
  let nearest = null;
  one.events.forEach((event, index) => {
    if (nearest === null || Math.abs(event.at_ms - ms) <= Math.abs(one.events[nearest].at_ms - ms)) nearest = index;
  });
  if (nearest === null) return;
  const event = one.events[nearest];
  const title = make("p", "moment", `event ${nearest + 1} of ${one.events.length}`, make("b", "", `+${event.at_ms.toFixed(1)} ms`), visible(event.name));
  element.replaceChildren(title, make("pre", "", visible(event.text.trimEnd())));
}

function noted(summary) {
  const notes = [];
  if (summary.late) notes.push("This exchange had begun before the page was opened: its beginning is missing.");
  if (summary.lost_bytes) notes.push(`${summary.lost_bytes} bytes were not kept.`);
  return notes.join(" ");
}

function showWords(element, one) {
  for (const channel of Object.keys(CHANNELS)) {
    const text = one.said.get(channel);
    if (!text) continue;
    let block = element.querySelector(`[data-channel=${channel}]`);
    if (block === null) {
      block = make("section", "", make("h3", "", CHANNELS[channel]), make("div", "assembled"));
      block.dataset.channel = channel;
      element.append(block);
    }
    const shown = text.length > SHOWN_TEXT ? `… ${text.slice(-SHOWN_TEXT)}` : text;
    put(block.lastChild, visible(shown));
  }
}

/** Two exchanges over each other, on one axis that begins with each. */
export function compared(panel, one, other) {
  if (other === null) {
    const hint = "Mark one exchange (key m), then choose another: their timelines stand over each other here.";
    panel.replaceChildren(make("p", "hint", hint));
    return () => {};
  }
  const both = [other, one];
  const canvases = both.map(picture);
  const titles = both.map(() => make("h3", ""));
  const whole = () => span(...both);
  const view = new View(() => redraw());
  const tools = new Tools(view, whole);
  const table = make("table", "differences");
  panel.replaceChildren(titles[0], canvases[0], titles[1], canvases[1], tools.element, key().legend, table);
  canvases.forEach((canvas, index) => live(canvas, view, tools, { one: both[index], whole }));
  const redraw = () => {
    both.forEach((exchange, index) => draw(canvases[index], exchange, view.range(whole()), view.selection));
    tools.draw(view, whole());
  };
  return () => {
    if (both.some(({ summary }) => summary === null)) return;
    redraw();
    both.forEach((exchange, index) => {
      const { summary } = exchange;
      put(titles[index], `${index ? "this" : "marked"}: ${summary.method} ${summary.target}, ${standing(summary)}`);
      canvases[index].setAttribute("aria-label", described(exchange));
    });
    showDifferences(table, both);
  };
}

function showDifferences(table, both) {
  const value = (name, tell = duration) => [name, ...both.map(({ summary }) => (summary[name] === null ? "" : tell(summary[name])))];
  const side = (name) => [`waited for ${name}`, ...both.map((one) => duration(waited(one)[name]))];
  const rows = [
    value("status", String), value("sent_ms"), value("head_ms"), value("first_byte_ms"), value("first_token_ms"),
    value("duration_ms"), value("max_gap_ms"), value("max_stall_ms"), value("bytes_out", String), value("events", String),
    value("output_tokens", String), value("tokens_per_s", String), ...SIDES.map(side),
  ].filter(([, left, right]) => left || right);
  const text = rows.join("\n");
  if (table.dataset.shown === text) return;
  table.dataset.shown = text;
  const heading = (name) => {
    const cell = make("th", "", name);
    cell.scope = "col";
    return cell;
  };
  const head = make("tr", "", make("td", ""), heading("marked"), heading("this"));
  const cells = rows.map(([name, left, right]) => {
    const title = make("th", "", name.replace(/_ms$/, "").replaceAll("_", " "));
    title.scope = "row";
    const row = make("tr", "", title, make("td", "", left), make("td", "", right));
    row.classList.toggle("differs", left !== right);
    return row;
  });
  table.replaceChildren(head, ...cells);
}
