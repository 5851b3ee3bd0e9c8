// The record of one answer: what came when. Times are milliseconds since its request left.

export class Record {
  #started = performance.now();
  arrivals = [];
  firstWord = null;
  lastWord = null;
  end = null;
  outcome = "waiting";

  /** Milliseconds since the start, standing still once the answer is over. */
  get elapsed() {
    return this.end ?? performance.now() - this.#started;
  }

  get isRunning() {
    return this.end === null;
  }

  answered() {
    this.outcome = "answered";
  }

  arrived(bytes) {
    this.arrivals.push({ at: this.elapsed, bytes });
    this.outcome = "streaming";
  }

  said() {
    this.firstWord ??= this.arrivals.at(-1).at;
    this.lastWord = this.arrivals.at(-1).at;
  }

  ended(outcome) {
    this.end = this.elapsed;
    this.outcome = outcome;
  }

  /** The longest time without an arrival, from its start to its end, up to now while the answer runs. */
  get silence() {
    const times = [0, ...this.arrivals.map(({ at }) => at), this.elapsed];
    let longest = { from: 0, to: 0 };
    for (let index = 1; index < times.length; index += 1) {
      if (times[index] - times[index - 1] > longest.to - longest.from) {
        longest = { from: times[index - 1], to: times[index] };
      }
    }
    return longest;
  }
}
