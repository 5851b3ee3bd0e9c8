"""One proxy in several processes on the same addresses.

supervisor ── asks ──> worker, worker, ...      starts, reloads, stops them; answers for all on the admin listener
     ├── pages, exchanges                        ask each for its figures, its state, what its inspector knows
     └── nursery                                forks workers: a process that never had a loop or a thread

The kernel gives each connection to one of the workers (SO_REUSEPORT); no byte of an exchange passes the supervisor.
"""
