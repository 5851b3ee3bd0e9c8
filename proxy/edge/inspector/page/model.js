// What is known of exchanges: their newest summaries, in the order in which they began.

const CLEARED = "streamsafe-cleared";

export class Model {
  #known = new Map();
  #ids = [];
  #instance = null;
  #cleared = 0;
  lostBytes = 0;

  /** A stream of the list has begun; that of another start of the proxy makes everything old. */
  greet({ instance }) {
    if (instance === this.#instance) return;
    this.#known.clear();
    this.#ids = [];
    this.#instance = instance;
    const [cleared, at] = (sessionStorage.getItem(CLEARED) ?? "").split(" ");
    this.#cleared = cleared === instance ? Number(at) : 0;
  }

  take({ exchanges, oldest, lost_bytes: lostBytes }) {
    for (const one of exchanges) {
      if (!this.#known.has(one.id)) this.#insert(one.id);
      one.haystack = `${one.method} ${one.target} ${one.status} ${one.outcome} ${one.route} ${one.code} ${one.request_id} ${one.dialect}`.toLowerCase();
      this.#known.set(one.id, one);
    }
    this.lostBytes = lostBytes;
    if (this.#ids.length && this.#ids[0] < oldest) {
      this.#ids = this.#ids.filter((id) => id >= oldest || this.#known.get(id).open);
      for (const id of this.#known.keys()) if (id < oldest && !this.#known.get(id).open) this.#known.delete(id);
    }
  }

  #insert(id) {
    let at = this.#ids.length;
    while (at > 0 && this.#ids[at - 1] > id) at -= 1;
    this.#ids.splice(at, 0, id);
  }

  get(id) {
    return this.#known.get(id);
  }

  get size() {
    return this.#ids.length;
  }

  get openCount() {
    let count = 0;
    for (const one of this.#known.values()) count += one.open ? 1 : 0;
    return count;
  }

  get routes() {
    return new Set([...this.#known.values()].map((one) => one.route).filter(Boolean));
  }

  /** Hides what has ended by now, in this tab; nothing is deleted. */
  clear() {
    this.#cleared = this.#ids.at(-1) ?? 0;
    sessionStorage.setItem(CLEARED, `${this.#instance} ${this.#cleared}`);
  }

  /** The exchanges that pass a filter, newest first. */
  filtered({ text, route, outcome, open }) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (let at = this.#ids.length - 1; at >= 0; at -= 1) {
      const one = this.#known.get(this.#ids[at]);
      if (one.id <= this.#cleared && !one.open) continue;
      if (open && !one.open) continue;
      if (route && one.route !== route) continue;
      if (outcome && one.outcome !== outcome) continue;
      if (words.length && !words.every((word) => one.haystack.includes(word))) continue;
      found.push(one);
    }
    return found;
  }
}
