"""What people really use, run against the proxy: SDKs, browsers, tools, frameworks, and dev servers in front of it.

Every program tells what it sees as JSON lines with the time of the machine's monotonic clock. Origins are gated: they
send a piece when a test says so, and a test says so when the piece before has arrived. Each case is also run through a
peer as people have it, to show what would break. `make e2e` runs it all.
"""
