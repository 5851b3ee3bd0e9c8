// The same request from three other clients, with this page's own address filled in.

const SNIPPETS = [
  {
    title: "curl",
    text: (origin) => `curl -N ${origin}/v1/chat/completions \\
  -H 'content-type: application/json' \\
  -d '{"model": "demo", "stream": true,
       "messages": [{"role": "user", "content": "Hello"}]}'`,
  },
  {
    title: "JavaScript, fetch",
    text: (origin) => `const url = "${origin}/v1/chat/completions";
const answer = await fetch(url, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    model: "demo",
    stream: true,
    messages: [{ role: "user", content: "Hello" }],
  }),
});
const texts = answer.body.pipeThrough(new TextDecoderStream());
const reader = texts.getReader();
for (let part; !(part = await reader.read()).done; ) {
  console.log(part.value);
}`,
  },
  {
    title: "Python, openai SDK",
    text: (origin) => `from openai import OpenAI

client = OpenAI(
    base_url="${origin}/v1",
    api_key="any",
)
stream = client.chat.completions.create(
    model="demo",
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.choices:
        text = chunk.choices[0].delta.content or ""
        print(text, end="", flush=True)
    if chunk.usage:
        print("\\n", chunk.usage.completion_tokens, "tokens")`,
  },
];

export function showSnippets(place) {
  place.replaceChildren(...SNIPPETS.map(({ title, text }) => snippet(title, text(location.origin))));
}

function snippet(title, text) {
  const head = document.createElement("header");
  head.append(element("h3", title));
  const code = element("pre", text);
  code.tabIndex = 0;
  code.setAttribute("role", "group");
  code.setAttribute("aria-label", title);
  // The clipboard is there in secure contexts only; the text can be selected everywhere.
  if (navigator.clipboard) head.append(copyButton(title, text));
  const figure = document.createElement("article");
  figure.className = "snippet";
  figure.append(head, code);
  return figure;
}

function copyButton(title, text) {
  const button = element("button", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", `Copy: ${title}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
