"""Pure decisions: what to forward, what to answer, what is a stream.

Nothing in this package opens a socket, reads a file or a clock, logs, or imports asyncio or aiohttp: the time, a
request id and a peer's address arrive as arguments. That is what lets every rule be tested as a table of values.
"""
