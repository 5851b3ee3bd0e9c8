"""The demo: a fake LLM upstream, a bad middleman, and a page that shows the difference between two ways to it.

    upstream    the fake LLM: every API family on one port, and the page
    middleman   a reverse proxy that compresses and buffers, as many do by accident
    run         both of them on free loopback ports
    misbehaviour  another upstream, that breaks streams in the ways the doctor knows

How an answer is made, one noun a file:

    fields         a request's JSON, read with its types checked      -> Refused, which becomes a 400
    answer         what the model says: text from the prompt, cut into tokens
    pace           when each token leaves, and whether the connection breaks on purpose
    tally          how many generations run, were cancelled, were completed
    generation     the tokens of one answer, paced, counted and written to a client
    conversation   request -> question -> generation -> reply, for every family alike
    frames         JSON, server-sent events and JSON lines as bytes

One file per family says how it asks and how it replies: openai_chat, openai_responses, anthropic, gemini, ollama, feed.
`models` lists the one model there is; `site` serves the page, its files, and what it needs to know.

Nothing here is used by the proxy, and nothing of the proxy is used here: the standard library and aiohttp only.
"""
