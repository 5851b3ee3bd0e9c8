// An event stream read with fetch, as EventSource cannot send a token: reconnects by itself and goes on where it stopped.

const TOKEN = "streamsafe-token";
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
/** The server says something every 15 seconds: who hears nothing for longer has slept, or lost it. */
const SILENCE_MS = 40_000;

/** The token came in the fragment, once: a fragment is never sent. From then on it lives in this tab. */
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found === null) return;
  setToken(decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname);
}

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** fetch with the token, if there is one. */
export function ask(path, { headers = {}, ...more } = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  return fetch(path, { ...more, headers: { ...headers, ...authorization }, cache: "no-store", credentials: "omit" });
}

/** The events of the frames in a text that grows. Our own server ends lines with LF. */
class Frames {
  #rest = "";

  *feed(text) {
    const frames = (this.#rest + text).split("\n\n");
    this.#rest = frames.pop();
    for (const frame of frames) {
      const fields = Object.fromEntries(frame.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));
      if (fields.event !== undefined) yield { name: fields.event, id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}

/** Aborts when nothing has been heard for a time, also for one that this computer slept through; and when a page that
 * its browser had frozen goes on, as what was open then may never say anything again. */
class Silence {
  #controller = new AbortController();
  #heardAt = Date.now();
  #limit;
  #timer;
  #wake = () => this.#controller.abort();
  #look = () => Date.now() - this.#heardAt > this.#limit && this.#controller.abort();

  constructor(limit) {
    this.#limit = limit;
    this.#timer = setInterval(this.#look, limit / 4);
    document.addEventListener("visibilitychange", this.#look);
    document.addEventListener("resume", this.#wake);
    addEventListener("online", this.#look);
  }

  get signal() {
    return this.#controller.signal;
  }

  broken() {
    this.#heardAt = Date.now();
  }

  end() {
    clearInterval(this.#timer);
    document.removeEventListener("visibilitychange", this.#look);
    document.removeEventListener("resume", this.#wake);
    removeEventListener("online", this.#look);
  }
}

export class Source {
  #path;
  #onEvent;
  #onState;
  #stopped = new AbortController();
  #last = null;
  #silence;

  /** `onEvent(name, data)`; `onState` is told "open", "lost", "refused" (a token is missing) or "gone" (404). */
  constructor(path, onEvent, onState = () => {}, silence = SILENCE_MS) {
    this.#path = path;
    this.#silence = silence;
    this.#onEvent = onEvent;
    this.#onState = onState;
    this.#run();
  }

  stop() {
    this.#stopped.abort();
  }

  async #run() {
    const { signal: stopped } = this.#stopped;
    let wait = FIRST_WAIT_MS;
    while (!stopped.aborted) {
      const silence = new Silence(this.#silence);
      const signal = AbortSignal.any([stopped, silence.signal]);
      try {
        const response = await ask(this.#path, { signal, headers: this.#last ? { "Last-Event-ID": this.#last } : {} });
        if (response.status === 401) return this.#onState("refused");
        if (response.status === 404) return this.#onState("gone");
        if (response.ok) {
          this.#onState("open");
          wait = FIRST_WAIT_MS;
          if (await this.#read(response, silence)) return;
        }
      } catch {
        // the server is not there, or the connection broke or fell silent: all are tried again
      } finally {
        silence.end();
      }
      if (stopped.aborted) return;
      this.#onState("lost");
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  /** Reads to the end; true if the server said that there is nothing more. */
  async #read(response, silence) {
    const frames = new Frames();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      silence.broken();
      for (const { name, id, data } of frames.feed(value)) {
        if (this.#stopped.signal.aborted) return true;
        this.#onEvent(name, data);
        if (id) this.#last = id;
        if (name === "end") return true;
      }
    }
  }
}
