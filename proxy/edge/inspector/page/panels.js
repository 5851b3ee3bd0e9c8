// The panels of text: heads side by side, bodies, raw pieces. Each returns what brings it up to date.

import { button, make } from "./dom.js";
import { bytes, pretty, visible } from "./format.js";
import { ask } from "./source.js";

const SHOWN_TEXT = 300_000;
const BODIES = { request: "request, as it came", upstream: "response, as it came", client: "response, as it went to the client" };
const KINDS = { upload: "request", both: "upstream → client", read: "from upstream", wrote: "to client" };
const RELOAD_MS = 1000;
const BACK = ["from upstream", "to client"];

export function showHeads(panel) {
  let shown = "";
  return (one) => {
    const text = JSON.stringify([one.request, one.interim, one.response, one.trailers]);
    if (text === shown) return;
    shown = text;
    if (one.request === null && one.response === null) {
      panel.replaceChildren(make("p", "hint", "The heads of this exchange were not copied."));
      return;
    }
    panel.replaceChildren(
      ...(one.request ? [headTable("Request", ["from client", "to upstream"], one.request)] : []),
      ...one.interim.map((head) => headTable(`Interim answer after ${head.at_ms.toFixed(1)} ms`, BACK, head)),
      ...(one.response ? [headTable("Response", BACK, one.response)] : []),
      ...(one.trailers ? [headTable("Trailers", BACK, one.trailers)] : []),
    );
  };
}

function headTable(title, sides, head) {
  const heading = (text, scope) => {
    const cell = make("th", "", text);
    cell.scope = scope;
    return cell;
  };
  const cell = (value) => make("td", value === null ? "none" : "", value === null ? "–" : visible(value));
  const table = make("table", "heads", make("caption", "", title));
  table.append(make("tr", "sides", make("td", ""), ...[...sides, "why"].map((side) => heading(side, "col"))));
  if (head.came !== null || head.went !== null) table.append(make("tr", "start", make("td", ""), cell(head.came), cell(head.went), make("td", "")));
  for (const { name, before, after, change, why } of head.fields) {
    table.append(make("tr", change, heading(visible(name), "row"), cell(before), cell(after), make("td", "why", change === "same" ? "" : `${change}: ${why}`)));
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
