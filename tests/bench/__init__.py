"""What streamsafe costs, beside its peers. Nothing is asserted about speed; a body that was spoiled is an error.

`make bench` measures everything and writes docs/performance.md; `python -m tests.bench --help` tells how to choose.
Method: the proxy has one core, the origin and the load share another; the subjects are taken in turn, each freshly
started, and a ratio is taken within a round, so that a machine whose speed drifts moves both sides. CPU is the
scheduler's own account of the proxy's processes, which wanders far less than seconds do.

    __main__   arguments, the exit code             run       one run: peers, sections, all that was found
    peers/     how each subject is started          beside    one measure, of all subjects in turn
    measures   what is measured, in which units     growth    cost per event over the number of streams
    report/    tables, the page, the chart          many      20,000 streams, every event counted
    subject    a program under measurement          observers what the log, metrics and the inspector cost
    account    CPU and memory of processes          stages    what each stage costs
    machine    where the figures come from          workers   what a second worker brings
    origin     the upstream                         load      many connections at once
    loop       the event loop of origin and load    single    one connection at a time; tunnel: a WebSocket
"""
