// The page: reads the form, runs one lane or both, keeps the picture up to date.

import { DIALECTS, request } from "./dialects.js";
import { Lane } from "./lane.js";
import { refresh, waitIdle } from "./model.js";
import { showSnippets } from "./snippets.js";
import { drawAxis, span } from "./timeline.js";

// Words a second; 0 is as fast as it can.
const PACES = [2, 5, 10, 20, 40, 80, 160, 0];
const BREAK_AFTER = 40;
const STATE_EVERY_MS = 500;
const STOP_LIMIT_MS = 3000;

const byId = (id) => document.getElementById(id);
const lanes = { streamsafe: new Lane("streamsafe"), middleman: new Lane("middleman") };
let middleman = null;
let running = null;

async function start() {
  byId("dialect").replaceChildren(...DIALECTS.map(({ id, label }) => new Option(label, id)));
  showSnippets(byId("snippets"));
  sayPace();
  showWay();
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running === null) send();
  });
  byId("stop").addEventListener("click", stop);
  byId("pace").addEventListener("input", sayPace);
  byId("ask").addEventListener("change", showWay);
  document.addEventListener("keydown", ({ key }) => key === "Escape" && stop());
  new ResizeObserver(draw).observe(byId("axis"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  await configure();
  await refresh();
}

async function configure() {
  try {
    const config = await (await fetch("/demo/config", { cache: "no-store" })).json();
    middleman = config.middleman;
    byId("direct").hidden = config.proxied !== false;
  } catch {
    say("The demo's settings could not be loaded: is it still running?");
  }
  if (middleman === null) {
    document.querySelector("[name=way][value=streamsafe]").checked = true;
    for (const way of document.querySelectorAll("[name=way]")) way.disabled = way.value !== "streamsafe";
    showWay();
  }
}

async function send() {
  const dialect = DIALECTS.find(({ id }) => id === byId("dialect").value);
  const query = { pace: PACES[byId("pace").value], ...(byId("break").checked && { fail: `after=${BREAK_AFTER}` }) };
  const { path, init } = request(dialect, byId("prompt").value, query);
  const chosen = chosenLanes();
  for (const lane of Object.values(lanes)) lane.clear();
  running = new AbortController();
  setButtons();
  say("Sent. The model writes.");
  const watch = setInterval(refresh, STATE_EVERY_MS);
  requestAnimationFrame(animate);
  const { signal } = running;
  const records = await Promise.all(
    chosen.map((lane) => lane.run((lane.name === "middleman" ? middleman : "") + path, init, dialect, signal)),
  );
  clearInterval(watch);
  running = null;
  setButtons();
  draw();
  for (const lane of chosen) lane.describe();
  if (signal.aborted) return;
  say(summary(chosen, records));
  await refresh();
}

async function stop() {
  if (running === null || running.signal.aborted) return;
  running.abort();
  say("Stopped reading.");
  const took = await waitIdle(STOP_LIMIT_MS);
  say(
    took === null
      ? "You stopped reading, but the model is still writing for somebody."
      : `You stopped reading; the model was seen idle ${Math.max(1, Math.round(took))} ms later.`,
  );
}

function summary(chosen, records) {
  const first = records.map(({ firstWord }) => firstWord);
  const breaks = records.filter(({ outcome }) => outcome === "broken").length;
  if (breaks) return "The model's connection broke, and the browser was told: half an answer never looks whole.";
  if (first.some((ms) => ms === null)) return "No answer came.";
  const names = { streamsafe: "streamsafe", middleman: "the middleman" };
  const named = chosen.map(({ name }, index) => `${names[name]} after ${(first[index] / 1000).toFixed(2)} s`);
  return `The first word came through ${named.join(", through ")}.`;
}

function chosenLanes() {
  const way = document.querySelector("[name=way]:checked").value;
  return Object.values(lanes).filter(({ name }) => way === "both" || way === name);
}

function showWay() {
  const chosen = chosenLanes();
  for (const lane of Object.values(lanes)) lane.isOff = !chosen.includes(lane);
}

function sayPace() {
  const pace = PACES[byId("pace").value];
  const said = pace ? `${pace} words/s` : "as fast as it can";
  byId("pace-said").textContent = said;
  byId("pace").setAttribute("aria-valuetext", said);
}

function setButtons() {
  const isRunning = running !== null;
  const hadFocus = document.activeElement;
  byId("send").disabled = isRunning;
  byId("stop").disabled = !isRunning;
  // A button that is switched off loses the focus: it goes to the one that can be pressed next.
  if (hadFocus === byId("send") && isRunning) byId("stop").focus();
  if (hadFocus === byId("stop") && !isRunning) byId("send").focus();
}

function animate() {
  draw();
  if (running !== null) requestAnimationFrame(animate);
}

function draw() {
  const records = Object.values(lanes).flatMap(({ record }) => record ?? []);
  const spanMs = span(records);
  for (const lane of Object.values(lanes)) lane.draw(spanMs);
  drawAxis(byId("axis"), spanMs);
}

function say(text) {
  byId("status").textContent = text;
}

start();
