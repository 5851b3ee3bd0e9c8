// One exchange as it goes on: what the API tells of it, put together. Told again after a reconnection, nothing doubles.

import { ask, Source } from "./source.js";

export class Follow {
  #source;
  #changed;
  id;
  summary = null;
  request = null;
  response = null;
  interim = [];
  trailers = null;
  marks = [];
  waits = [];
  events = [];
  faults = [];
  bodies = null;
  dialect = null;
  /** The text of the answer as it grows, by channel: text, reasoning, tool. */
  said = new Map();
  state = "waiting";
  /** When the newest news came, on this page's clock: between news an open exchange's time goes on. */
  heardAt = 0;

  constructor(id, changed) {
    this.id = id;
    this.#changed = changed;
    this.#source = new Source(`/api/exchanges/${id}/events`, (name, data) => this.#take(name, data), (state) => this.#tell(state));
  }

  stop() {
    this.#source.stop();
  }

  /** Milliseconds since the exchange began: to its end, or to now. */
  get elapsed() {
    const last = Math.max(this.marks.at(-1)?.[1] ?? 0, this.summary?.last_byte_ms ?? 0, this.summary?.sent_ms ?? 0);
    if (this.summary?.duration_ms !== null && this.summary !== null) return Math.max(this.summary.duration_ms, last);
    const began = Date.parse(this.summary?.time ?? "");
    return Math.max(last, Number.isNaN(began) ? last : Date.now() - began);
  }

  get isOpen() {
    return this.summary?.open ?? true;
  }

  get isFull() {
    for (let at = this.marks.length - 1; at >= 0; at -= 1) {
      if (this.marks[at][0] === "paused") return true;
      if (this.marks[at][0] === "resumed") return false;
    }
    return false;
  }

  /** The bodies as they are now. */
  async load() {
    const response = await ask(`/api/exchanges/${this.id}`);
    if (response.ok) this.bodies = (await response.json()).bodies;
    return this.bodies;
  }

  #tell(state) {
    this.state = state;
    this.#changed(this);
  }

  #take(name, data) {
    if (name === "end") this.bodies = data.bodies;
    if (name === "news") {
      const [marks, waits, events] = data.from;
      this.summary = data.exchange;
      for (const head of ["request", "response", "interim", "trailers"]) this[head] = data[head] ?? this[head];
      this.faults = data.faults ?? this.faults;
      this.dialect = data.dialect ?? this.dialect;
      if (events < this.events.length) this.said.clear();
      grow(this.marks, marks, data.marks);
      grow(this.waits, waits, data.waits);
      grow(this.events, events, data.events);
      for (const event of events === 0 ? this.events : data.events) this.#say(event);
      this.heardAt = performance.now();
    }
    this.#changed(this);
  }

  #say({ said }) {
    for (const [channel, text] of said) this.said.set(channel, (this.said.get(channel) ?? "") + text);
  }
}

function grow(kept, from, more) {
  kept.length = from;
  for (const one of more) kept.push(one);
}
