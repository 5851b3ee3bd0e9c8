// The panels of text: heads side by side, bodies, events, raw pieces. Each returns what brings it up to date.

import { button, make, put } from "./dom.js";
import { bytes, pretty, visible } from "./format.js";
import { ask } from "./source.js";

const SHOWN_EVENTS = 500;
const SHOWN_TEXT = 300_000;
const BODIES = { request: "request, as it came", upstream: "response, as it came", client: "response, as it went to the client" };
const KINDS = { upload: "request", both: "upstream → client", read: "from upstream", wrote: "to client" };
const RELOAD_MS = 1000;

export function showHeads(panel) {
  let shown = "";
  return (one) => {
    const text = JSON.stringify([one.request, one.response]);
    if (text === shown) return;
    shown = text;
    if (one.request === null && one.response === null) {
      panel.replaceChildren(make("p", "hint", "The heads of this exchange were not copied."));
      return;
    }
    panel.replaceChildren(
      ...(one.request ? [headTable("Request", ["from client", "to upstream"], one.request)] : []),
      ...(one.response ? [headTable("Response", ["from upstream", "to client"], one.response)] : []),
    );
  };
}

function headTable(title, sides, head) {
  const table = make("table", "heads", make("caption", "", title));
  table.append(make("tr", "sides", make("th", "", ""), ...sides.map((side) => make("th", "", side)), make("th", "", "why")));
  table.append(make("tr", "start", make("th", "", ""), make("td", "", visible(head.came ?? "–")), make("td", "", visible(head.went ?? "–")), make("td", "", "")));
  for (const { name, before, after, change, why } of head.fields) {
    const cell = (value) => make("td", value === null ? "none" : "", value === null ? "–" : visible(value));
    const row = make("tr", change, make("th", "", visible(name)), cell(before), cell(after), make("td", "why", change === "same" ? "" : `${change}: ${why}`));
    table.append(row);
  }
  return make("div", "scrolled", table);
}

export function showBodies(panel, one) {
  const blocks = make("div", "bodies");
  panel.replaceChildren(blocks);
  let loadedAt = -Infinity;
  let shown = null;
  const load = () => {
    loadedAt = performance.now();
    one.load();
  };
  return () => {
    const isStale = one.isOpen && performance.now() - loadedAt > RELOAD_MS;
    if (one.bodies === null ? loadedAt === -Infinity : isStale) load();
    if (one.bodies === shown || one.bodies === null) return;
    shown = one.bodies;
    const found = Object.entries(BODIES).filter(([side]) => shown[side]);
    blocks.replaceChildren(...found.map(([side, title]) => bodyBlock(title, shown[side])));
    if (!found.length) blocks.replaceChildren(make("p", "hint", "There are no bodies, or they were not kept."));
  };
}

function bodyBlock(title, body) {
  const text = visible(pretty(body.text));
  const cut = body.shown < body.kept || text.length > SHOWN_TEXT ? `, the first ${bytes(Math.min(body.shown, SHOWN_TEXT))} shown` : "";
  const heading = make("h3", "", `${title} (${bytes(body.kept)}${cut})`);
  return make("section", "", heading, make("pre", "", text.slice(0, SHOWN_TEXT)));
}

export function showEvents(panel) {
  const note = make("p", "hint");
  const list = make("ol", "events");
  panel.replaceChildren(note, list);
  let drawn = 0;
  return (one) => {
    if (one.events.length < drawn) {
      drawn = 0;
      list.replaceChildren();
    }
    const isAtEnd = panel.scrollHeight - panel.scrollTop - panel.clientHeight < 40;
    const first = Math.max(drawn, one.events.length - SHOWN_EVENTS);
    for (let at = first; at < one.events.length; at += 1) list.append(eventRow(one.events[at], at));
    const isNew = drawn < one.events.length;
    drawn = one.events.length;
    while (list.childElementCount > SHOWN_EVENTS) list.firstChild.remove();
    const hidden = drawn - list.childElementCount;
    put(note, drawn ? (hidden ? `${hidden} earlier events are not shown; they are in the raw view and the transcript.` : "") : "No events: this is no stream of frames, or none has come yet.");
    if (isNew && isAtEnd && one.isOpen) panel.scrollTop = panel.scrollHeight;
  };
}

function eventRow(event, index) {
  const moment = make("span", "moment", `${index + 1}`, make("b", "", `+${event.at_ms.toFixed(1)} ms`));
  const name = make("span", "name", visible(event.name || "·"), event.first_token ? make("em", "", "first token") : null);
  return make("li", "", moment, name, make("pre", "", visible(event.text.trimEnd())));
}

export function showRaw(panel, one) {
  const list = make("ol", "raw");
  const more = button("Load what has come since", () => load());
  panel.replaceChildren(make("p", "hint", "Each block is one read or write, as it was on the wire; known secrets are masked."), list, more);
  let next = 0;
  const load = async () => {
    more.disabled = true;
    const response = await ask(`/api/exchanges/${one.id}/pieces?from=${next}`);
    more.disabled = false;
    if (!response.ok) return;
    const { pieces, next: following } = await response.json();
    for (const piece of pieces) list.append(pieceRow(piece));
    next = following ?? (pieces.length ? pieces.at(-1).index + 1 : next);
    more.hidden = following === null && !one.isOpen;
  };
  load();
  return () => {};
}

function pieceRow({ kind, at_ms: at, bytes: size, kept, text, base64 }) {
  const missing = kept < size ? `, ${size - kept} not kept` : "";
  const shown = text === undefined ? `base64: ${base64}` : visible(text).replaceAll("\n", "↵\n");
  const moment = make("span", "moment", make("b", "", `+${at.toFixed(1)} ms`), `${KINDS[kind]}, ${bytes(size)}${missing}`);
  return make("li", kind, moment, make("pre", "", shown));
}
