"""The inspector: every exchange as it happens, on the admin listener.

    masking    known secrets out of bytes, however they are cut into pieces
    captured   the copy of one exchange: pieces with their moments, heads
    changes    two heads side by side, and why they differ
    record     one exchange as the page and the API are told of it
    store      the exchanges of a process, bounded; who is asked by the tap
    reading    events, waits and text out of what was captured
    export     HAR, transcript, curl
    api        the same over HTTP: JSON and an event stream
    page/      the page: ES modules as they are served

Nothing is kept of a body unless a page is connected, and nothing is kept that was not redacted first.
"""
