"""What streamsafe costs, beside nginx. Nothing is asserted about speed; a body that was spoiled is an error.

Run it with `python -m tests.bench`. Method: the proxy has one core, the origin and the load share another; the subjects
are taken in turn, each freshly started, and a ratio is taken within a round, so that a machine whose speed drifts moves
both sides. CPU is the scheduler's own account of the proxy's processes, which wanders far less than seconds do.

    __main__   arguments, rounds, the exit code     subject   a program under measurement, pinned to its core
    measures   what is measured, in which units     account   CPU and resident memory of processes
    peers      how streamsafe and nginx are started report    the table
    origin     the upstream                         loop      the event loop of the two below
    load       many connections at once             single    one connection at a time
"""
