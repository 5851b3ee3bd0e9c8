// One way to the model: sends the request, writes down what comes, shows it. Data enters the page as text only.

import { Reader } from "./dialects.js";
import { Record } from "./record.js";
import { drawRecord } from "./timeline.js";

const OUTCOMES = {
  waiting: "waiting",
  answered: "waiting",
  streaming: "streaming",
  complete: "complete",
  stopped: "stopped",
  broken: "broken off",
  truncated: "ended without its end",
  failed: "failed",
};
const HINT = "The answer appears here.";
const WAITING = "Nothing yet. ";
const NOTHING = "Nothing arrived.";

export class Lane {
  #element;
  #canvas;
  #isAccent;
  #words = document.createTextNode("");
  #hint = document.createElement("span");
  record = null;

  constructor(name) {
    this.name = name;
    this.#element = document.querySelector(`.lane[data-lane=${name}]`);
    this.#canvas = document.querySelector(`.track[data-lane=${name}] canvas`);
    this.#isAccent = name === "streamsafe";
    this.#hint.className = "hint";
    this.#answer.replaceChildren(this.#hint, this.#words);
    this.clear();
  }

  get #answer() {
    return this.#element.querySelector(".answer");
  }

  set isOff(off) {
    this.#element.classList.toggle("off", off);
    this.#canvas.parentElement.classList.toggle("off", off);
  }

  clear() {
    this.record = null;
    this.#words.data = "";
    this.#hint.textContent = HINT;
  }

  /** Asks, and shows the answer until its end. Resolves with the record and never rejects: an error is an outcome. */
  async run(url, init, dialect, signal) {
    this.clear();
    this.#hint.textContent = WAITING;
    this.record = new Record();
    try {
      const response = await fetch(url, { ...init, signal, cache: "no-store", credentials: "omit" });
      this.record.answered();
      this.record.ended(response.ok ? await this.#read(response, dialect) : await this.#refused(response));
    } catch {
      // fetch says the same of a server that is not there and of a body that broke off: the head tells them apart.
      const broken = this.record.outcome === "waiting" ? "failed" : "broken";
      this.record.ended(signal.aborted ? "stopped" : broken);
    }
    if (this.#hint.textContent === WAITING) this.#hint.textContent = NOTHING;
    return this.record;
  }

  async #read(response, dialect) {
    const reader = new Reader(dialect);
    const decoder = new TextDecoder();
    const body = response.body.getReader();
    for (;;) {
      const { done, value } = await body.read();
      if (done) return reader.ended ? "complete" : "truncated";
      this.record.arrived(value.byteLength);
      const words = reader.feed(decoder.decode(value, { stream: true }));
      if (words) this.#say(words);
    }
  }

  async #refused(response) {
    this.#hint.textContent = `${response.status} ${await response.text()}`;
    return "failed";
  }

  #say(words) {
    this.record.said();
    this.#hint.textContent = "";
    const answer = this.#answer;
    const isAtEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 40;
    this.#words.appendData(words);
    if (isAtEnd) answer.scrollTop = answer.scrollHeight;
  }

  /** Shows the figures and the marks as they are now. `spanMs` is the shared axis. */
  draw(spanMs) {
    const record = this.record;
    drawRecord(this.#canvas, record, spanMs, this.#isAccent);
    this.#element.classList.toggle("running", record?.isRunning ?? false);
    const outcome = this.#element.querySelector(".outcome");
    outcome.textContent = record ? OUTCOMES[record.outcome] : "ready";
    outcome.dataset.outcome = record?.outcome ?? "";
    this.#figure("first", record && time(record.firstWord));
    this.#figure("last", record && time(record.lastWord));
    this.#figure("arrivals", record && [String(record.arrivals.length), ""]);
    this.#figure("silence", record && time(record.silence.to - record.silence.from));
  }

  /** Says in words what the marks show, once it is over. */
  describe() {
    const { arrivals, silence, elapsed } = this.record;
    const seconds = (ms) => `${(ms / 1000).toFixed(1)} seconds`;
    const label = `${arrivals.length} arrivals within ${seconds(elapsed)}, longest silence ${seconds(silence.to - silence.from)}`;
    this.#canvas.setAttribute("aria-label", label);
  }

  #figure(name, parts) {
    const cell = this.#element.querySelector(`[data-figure=${name}]`);
    const [value, unit] = parts || ["–", ""];
    if (cell.dataset.shown === value + unit) return;
    cell.dataset.shown = value + unit;
    const suffix = document.createElement("span");
    suffix.textContent = unit;
    cell.replaceChildren(value, ...(unit ? [suffix] : []));
  }
}

function time(ms) {
  if (ms === null) return null;
  return ms < 1000 ? [String(Math.round(ms)), "ms"] : [(ms / 1000).toFixed(2), "s"];
}
