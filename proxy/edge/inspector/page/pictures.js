// The panels with pictures: one timeline with the text as it grows, and two timelines over each other.

import { make, put } from "./dom.js";
import { duration, standing, visible } from "./format.js";
import { at, draw, waited } from "./timeline.js";

const SHOWN_TEXT = 100_000;
const SIDES = { upstream: "upstream", client: "client", proxy: "proxy" };
const CHANNELS = { reasoning: "reasoning", text: "answer", tool: "tool calls" };

function picture(className) {
  const canvas = make("canvas", className);
  canvas.setAttribute("role", "img");
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

export function showTimeline(panel, one) {
  if (one.summary.captured === false && !one.marks.length) {
    panel.replaceChildren(make("p", "hint", "Heads and bodies of this exchange were not copied: no page was open."));
    return () => {};
  }
  const canvas = picture("timeline");
  const pointed = make("p", "pointed");
  const legend = make("p", "legend");
  const shares = Object.keys(SIDES).map((side) => {
    const value = make("b", "");
    legend.append(make("span", `key ${side}`, `waited for ${SIDES[side]} `, value));
    return [side, value];
  });
  const faults = make("ul", "faults");
  const words = make("div", "words");
  const notes = make("p", "hint");
  panel.replaceChildren(canvas, pointed, legend, notes, faults, words);
  canvas.addEventListener("pointermove", (event) => put(pointed, at(canvas, one, span(one), event.offsetX)));
  canvas.addEventListener("pointerleave", () => put(pointed, ""));
  return () => {
    draw(canvas, one, span(one));
    canvas.setAttribute("aria-label", described(one));
    const totals = waited(one);
    for (const [side, value] of shares) put(value, duration(totals[side]) || "0 ms");
    put(notes, noted(one.summary));
    showFaults(faults, one);
    showWords(words, one);
  };
}

function noted(summary) {
  const notes = [];
  if (summary.late) notes.push("This exchange had begun before the page was opened: its beginning is missing.");
  if (summary.lost_bytes) notes.push(`${summary.lost_bytes} bytes were not kept.`);
  return notes.join(" ");
}

const FAULTS = {
  "sse-json-lines": "JSON without `data:`: no client is handed these lines",
  "sse-no-data": "lines that no client is handed",
  "sse-single-newline": "several messages in one event: the empty line between them is missing",
  "sse-never-ends": "no event ever ends",
  "sse-last-event-lost": "the last event has no empty line behind it, and is lost",
  "sse-cr-only": "lines end with CR alone, which many clients do not read",
  "sse-bom": "begins with a byte order mark",
};

export function showFaults(list, one) {
  const text = one.faults.map((fault) => `${FAULTS[fault.kind] ?? fault.kind} (${fault.times}×): ${visible(fault.example)}`);
  if (list.dataset.shown === text.join("\n")) return;
  list.dataset.shown = text.join("\n");
  list.replaceChildren(...text.map((line) => make("li", "", line)));
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
  const canvases = [picture("timeline"), picture("timeline")];
  const titles = [make("h3", ""), make("h3", "")];
  const table = make("table", "differences");
  panel.replaceChildren(titles[0], canvases[0], titles[1], canvases[1], table);
  return () => {
    const both = [other, one];
    if (both.some(({ summary }) => summary === null)) return;
    const shared = span(...both);
    both.forEach((exchange, index) => {
      const { summary } = exchange;
      put(titles[index], `${index ? "this" : "marked"}: ${summary.method} ${summary.target}, ${standing(summary)}`);
      draw(canvases[index], exchange, shared);
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
    value("output_tokens", String), value("tokens_per_s", String), side("upstream"), side("client"), side("proxy"),
  ].filter(([, left, right]) => left || right);
  const text = rows.join("\n");
  if (table.dataset.shown === text) return;
  table.dataset.shown = text;
  const head = make("tr", "", make("th", "", ""), make("th", "", "marked"), make("th", "", "this"));
  const cells = rows.map(([name, left, right]) => {
    const row = make("tr", "", make("th", "", name.replace(/_ms$/, "").replaceAll("_", " ")), make("td", "", left), make("td", "", right));
    row.classList.toggle("differs", left !== right);
    return row;
  });
  table.replaceChildren(head, ...cells);
}
