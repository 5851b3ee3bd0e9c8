"""The buffer into which every connection to an upstream is read.

One for the whole process: a loop fills it and calls `buffer_updated` before it does anything else, and the parser
copies what it hands out. A large body goes through four times as fast as with `data_received`, which allocates up to
256 KiB a read, and less of it is held for a client that does not read. It costs 10 % more instructions of ours for a
small event, 4 % of all.
"""

READ_BYTES = 64 * 1024
# Always a view: asyncio's TLS slices it to read on, and a slice of a bytearray would be a copy, so that one client saw
# what an earlier read left there.
VIEW = memoryview(bytearray(READ_BYTES))
# Its first bytes, for as many as an event has: a slice made anew costs as much as a quarter of the parser's work on it.
STARTS = tuple(VIEW[:size] for size in range(1024))
