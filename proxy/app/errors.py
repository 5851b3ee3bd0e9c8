"""Why a proxy cannot run, or cannot be changed while it runs. Each message is one line for the operator.

CannotStart
├── CannotListen        an address is taken or not ours
├── LaxParser           aiohttp came without its C extension
├── UnusableTlsFile     a certificate or key that the configuration names
└── WorkerFailed        a process of several did not come up, or went while it was asked
"""

import os


class CannotStart(Exception):
    """What was asked for cannot be served. `exit_code` is 1 where the machine is in the way, 2 for a bad file."""

    exit_code = 1


class CannotListen(CannotStart):
    """An address cannot be listened on; the message says which and why."""

    def __init__(self, address: str, error: OSError, hint: str = "") -> None:
        # The loops word it differently and repeat the address: the number has the same words everywhere.
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        super().__init__(f"cannot listen on {address}: {reason}{hint}")


class LaxParser(CannotStart):
    """aiohttp came without its C extension."""

    def __init__(self) -> None:
        super().__init__(
            "aiohttp's C extension is missing or switched off (AIOHTTP_NO_EXTENSIONS), and its parser in Python is not "
            "strict enough to stand before a key: install a wheel of aiohttp for this platform"
        )


class UnusableTlsFile(CannotStart):
    """A certificate or key that the configuration names cannot be used."""

    exit_code = 2


class WorkerFailed(CannotStart):
    """A worker did not come up, or went while it was asked."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"worker {number}: {what}")
