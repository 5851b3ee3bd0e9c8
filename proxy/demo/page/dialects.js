// What to send to each API, and where its words stand in what it sends back.

/** Splits server-sent events out of text as it comes. WHATWG HTML, 9.2.6. */
class Events {
  #rest = "";
  #name = "";
  #data = [];

  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") {
      const event = this.#data.length ? { name: this.#name, data: this.#data.join("\n") } : null;
      this.#name = "";
      this.#data = [];
      return event;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    if (field === "event") this.#name = value;
    return null;
  }
}

/** Splits JSON lines out of text as it comes. */
class Lines {
  #rest = "";

  feed(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    return lines.filter((line) => line !== "").map((data) => ({ name: "", data }));
  }
}

const user = (prompt) => [{ role: "user", content: prompt }];

// `words` gives the words of one frame; `isEnd` says whether it is the frame that ends the answer.
export const DIALECTS = [
  {
    id: "chat",
    label: "OpenAI Chat",
    path: "/v1/chat/completions",
    body: (prompt) => ({ model: "demo", stream: true, messages: user(prompt) }),
    framing: Events,
    words: ({ data }) => (data === "[DONE]" ? "" : JSON.parse(data).choices[0]?.delta.content),
    isEnd: ({ data }) => data === "[DONE]",
  },
  {
    id: "responses",
    label: "OpenAI Responses",
    path: "/v1/responses",
    body: (prompt) => ({ model: "demo", stream: true, input: prompt }),
    framing: Events,
    words: ({ name, data }) => (name === "response.output_text.delta" ? JSON.parse(data).delta : ""),
    isEnd: ({ name }) => name === "response.completed",
  },
  {
    id: "anthropic",
    label: "Anthropic",
    path: "/v1/messages",
    body: (prompt) => ({ model: "demo", stream: true, max_tokens: 4096, messages: user(prompt) }),
    framing: Events,
    words: ({ name, data }) => (name === "content_block_delta" ? JSON.parse(data).delta.text : ""),
    isEnd: ({ name }) => name === "message_stop",
  },
  {
    id: "gemini",
    label: "Gemini",
    path: "/v1beta/models/demo:streamGenerateContent?alt=sse",
    body: (prompt) => ({ contents: [{ role: "user", parts: [{ text: prompt }] }] }),
    framing: Events,
    words: ({ data }) => JSON.parse(data).candidates[0].content?.parts[0].text,
    isEnd: ({ data }) => "finishReason" in JSON.parse(data).candidates[0],
  },
  {
    id: "ollama",
    label: "Ollama",
    path: "/api/chat",
    body: (prompt) => ({ model: "demo", messages: user(prompt) }),
    framing: Lines,
    words: ({ data }) => JSON.parse(data).message.content,
    isEnd: ({ data }) => JSON.parse(data).done,
  },
  {
    id: "feed",
    label: "EventSource feed",
    path: "/feed",
    framing: Events,
    words: ({ name, data }) => (name === "token" ? JSON.parse(data).text : ""),
    isEnd: ({ name }) => name === "done",
  },
];

/** The request that asks `prompt`: a path with its query, and what fetch needs besides. `query` is the demo's own. */
export function request(dialect, prompt, query) {
  const url = new URL(dialect.path, location.origin);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  if (dialect.body === undefined) {
    url.searchParams.set("prompt", prompt);
    return { path: url.pathname + url.search, init: { headers: { accept: "text/event-stream" } } };
  }
  const headers = { "content-type": "application/json" };
  return {
    path: url.pathname + url.search,
    init: { method: "POST", headers, body: JSON.stringify(dialect.body(prompt)) },
  };
}

/** Reads the words out of an answer as its text comes. `ended` is true once its last frame was seen. */
export class Reader {
  #dialect;
  #framing;
  ended = false;

  constructor(dialect) {
    this.#dialect = dialect;
    this.#framing = new dialect.framing();
  }

  feed(text) {
    let words = "";
    for (const frame of this.#framing.feed(text)) {
      words += this.#dialect.words(frame) ?? "";
      this.ended ||= this.#dialect.isEnd(frame);
    }
    return words;
  }
}
