"""Sockets and the loop: takes decisions from `core`, makes none.

server ── handler ── downstream          the client's side: accept, serve, write
             │  ├── relay                a response body on its way, pushed; a lane for events like those before them
             │  └── tunnel               raw bytes behind a 101
             ├── planner                 aiohttp's request into our types; a head that comes again is decided once
             ├── upload                  a request body on its way, pulled
             ├── deadlines, tail         clocks of an exchange; the last bytes it leaves with a client
             ├── onlookers, tap          who reads a body after it was sent; who is told of an exchange
             ├── sockets, tracebacks     socket options of both sides; what errors keep alive
             └── upstream/               the other side: call, pool, dial, names, TLS, connection, response
"""
