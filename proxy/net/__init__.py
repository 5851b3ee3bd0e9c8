"""Sockets and the loop: takes decisions from `core`, makes none.

server ── handler ── downstream          the client's side: accept, serve, write
             │  └── relay                a response body on its way, pushed
             ├── upload                  a request body on its way, pulled
             ├── deadlines, tap          clocks; telling observers
             └── upstream/               the other side: pool, connection, dial, TLS
"""
