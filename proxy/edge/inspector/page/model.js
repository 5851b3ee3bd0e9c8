// What is known of exchanges: their newest summaries, in the order in which they began.

const CLEARED = "streamsafe-cleared";

export class Model {
  #known = new Map();
  /** The known ones, sorted by when they began: several workers are told of in no order. */
  #sorted = [];
  /** Ids of those that are over, in the order in which they ended: who ended first is forgotten first, as on the server. */
  #ended = new Set();
  #kept = Infinity;
  #instance = null;
  #cleared = 0;
  #routes = new Set();
  lostBytes = 0;

  /** A stream of the list has begun; that of another start of the proxy makes everything old. */
  greet({ instance, kept }) {
    this.#kept = kept;
    if (instance === this.#instance) return;
    this.#known.clear();
    this.#ended.clear();
    this.#sorted = [];
    this.#instance = instance;
    const [cleared, at] = (sessionStorage.getItem(CLEARED) ?? "").split(" ");
    this.#cleared = cleared === instance ? Number(at) : 0;
  }

  take({ exchanges, lost_bytes: lostBytes }) {
    for (const one of exchanges) {
      one.haystack = `${one.method} ${one.target} ${one.status} ${one.outcome} ${one.route} ${one.code} ${one.request_id} ${one.dialect} ${one.upstream}`.toLowerCase();
      const entry = this.#known.get(one.id);
      if (entry === undefined) this.#insert(one);
      else entry.one = one;
      if (one.route) this.#routes.add(one.route);
      if (!one.open) this.#ended.add(one.id);
    }
    this.lostBytes = lostBytes;
    if (this.#ended.size > this.#kept) this.#forget();
  }

  #insert(one) {
    const entry = { one };
    this.#known.set(one.id, entry);
    let at = this.#sorted.length;
    while (at > 0 && isLater(this.#sorted[at - 1].one, one)) at -= 1;
    this.#sorted.splice(at, 0, entry);
  }

  #forget() {
    for (const id of this.#ended) {
      if (this.#ended.size <= this.#kept) break;
      this.#ended.delete(id);
      this.#known.delete(id);
    }
    this.#sorted = this.#sorted.filter(({ one }) => this.#known.has(one.id));
  }

  get size() {
    return this.#sorted.length;
  }

  get openCount() {
    return this.#known.size - this.#ended.size;
  }

  get routes() {
    return this.#routes;
  }

  /** Hides what has ended by now, in this tab; nothing is deleted. */
  clear() {
    this.#cleared = Math.max(0, ...this.#known.keys());
    sessionStorage.setItem(CLEARED, `${this.#instance} ${this.#cleared}`);
  }

  /** The exchanges that pass a filter, newest first. */
  filtered({ text, route, outcome, open }) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (let at = this.#sorted.length - 1; at >= 0; at -= 1) {
      const { one } = this.#sorted[at];
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

function isLater(one, other) {
  return one.time > other.time || (one.time === other.time && one.id > other.id);
}
