"""Thousands of streams for a while, with everything that happens to a proxy in a week: `make soak`.

    ledger    what each stream was to be, what the origin sent, what its client got, and what is wrong with that
    origin    makes the events, and breaks off where the ledger says so
    clients   reads them, and leaves where the ledger says so
    subject   the proxy: started, reloaded, robbed of a worker, stopped
    account   memory and open files of its processes
    run       one soak, from start to judgement

STREAMSAFE_SOAK_SECONDS (600), STREAMSAFE_SOAK_STREAMS (1500, open at a time) and STREAMSAFE_SOAK_SEED say how.
"""
