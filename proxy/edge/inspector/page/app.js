// The page: the list's stream into the model, the model into the list, keys and filters.

import { Detail } from "./detail.js";
import { byId, put } from "./dom.js";
import { bytes, OUTCOMES } from "./format.js";
import { List } from "./list.js";
import { Model } from "./model.js";
import { setToken, Source, takeToken } from "./source.js";

const DRAW_EVERY_MS = 100;
const STATES = { open: "live", lost: "reconnecting", waiting: "connecting" };

const model = new Model();
const list = new List((id) => detail.show(id, list.marked));
const detail = new Detail(byId("detail"), { closed: () => deselect(), mark: (id) => mark(id) });
let source = null;
let isPaused = false;
let isDue = false;
let drawnAt = 0;

function connect() {
  source?.stop();
  source = new Source("/api/events", take, tell);
}

function take(name, data) {
  if (name === "hello") model.greet(data);
  if (name === "exchanges") model.take(data);
  due();
}

function tell(state) {
  if (state === "refused") byId("ask").showModal();
  byId("state").dataset.state = state;
  put(byId("state"), STATES[state] ?? "waiting for a token");
}

/** Draws soon: at once if nothing was drawn lately, and ten times a second at most. */
function due() {
  if (isDue) return;
  isDue = true;
  setTimeout(() => requestAnimationFrame(draw), Math.max(0, DRAW_EVERY_MS - (performance.now() - drawnAt)));
}

function draw() {
  isDue = false;
  drawnAt = performance.now();
  showRoutes();
  const counts = `${model.size.toLocaleString("en")} exchanges, ${model.openCount} open`;
  put(byId("counts"), isPaused ? `${counts}; paused` : counts);
  put(byId("lost"), model.lostBytes ? `${bytes(model.lostBytes)} of bodies were not kept` : "");
  if (!isPaused) list.show(model.filtered(filter()));
}

function filter() {
  return {
    text: byId("text").value,
    route: byId("route").value,
    outcome: byId("outcome").value,
    open: byId("open").checked,
  };
}

function showRoutes() {
  const select = byId("route");
  const known = new Set([...select.options].map(({ value }) => value));
  for (const route of model.routes) if (!known.has(route)) select.add(new Option(route, route));
}

function pause() {
  isPaused = !isPaused;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  put(byId("pause"), isPaused ? "Go on" : "Pause");
  draw();
}

function deselect() {
  list.selected = null;
  list.draw();
  byId("rows").focus();
}

function mark(id) {
  list.marked = list.marked === id ? null : id;
  list.draw();
  return list.marked;
}

const KEYS = {
  j: () => list.move(1),
  k: () => list.move(-1),
  ArrowDown: () => list.move(1),
  ArrowUp: () => list.move(-1),
  Home: () => list.move(-Infinity),
  End: () => list.move(Infinity),
  PageDown: () => list.move(15),
  PageUp: () => list.move(-15),
  p: pause,
  o: () => byId("open").click(),
  m: () => list.selected !== null && detail.toggleMark(),
  "/": () => byId("text").focus(),
  "?": () => byId("help").showModal(),
  Escape: () => detail.close(),
};

function pressed(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (target instanceof HTMLInputElement && target.type !== "checkbox") {
    if (key === "Escape") byId("rows").focus();
    return;
  }
  if (target instanceof HTMLSelectElement) return;
  const isScrolling = target instanceof Element && target.closest(".panel") && !/^[a-z/?]$|Escape/.test(key);
  if (/^[1-6]$/.test(key)) detail.tab(Number(key) - 1);
  else if (KEYS[key] === undefined || isScrolling) return;
  else KEYS[key]();
  event.preventDefault();
}

function start() {
  for (const [value, label] of Object.entries(OUTCOMES)) byId("outcome").add(new Option(label, value));
  byId("filters").addEventListener("input", draw);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("pause").addEventListener("click", pause);
  byId("clear").addEventListener("click", () => {
    model.clear();
    draw();
  });
  byId("keys").addEventListener("click", () => byId("help").showModal());
  byId("ask").addEventListener("close", () => {
    setToken(byId("token").value);
    connect();
  });
  document.addEventListener("keydown", pressed);
  takeToken();
  connect();
}

start();
