"""What an event and a request cost, counted instead of timed: system calls, and calls of Python functions.

A clock says how fast a machine was; a count says what was done, and is the same on every run. So a change that makes
the hot path longer fails here, on any machine. `python -m tests.cost` prints the counts of today.

    script        a client and an origin that take turns: each step is over before the next begins
    calls         counts Python's function calls in the proxy's thread
    system_calls  counts system calls of a proxy in a process of its own, with strace
    test_cost     the bounds
"""
