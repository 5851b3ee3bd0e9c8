"""Where everything meets: settings into a proxy that listens, and processes that keep it listening.

errors ── certificates ── listener ── running     one proxy: started, changed while it runs, stopped
process, signals, logs                            what a process sets up once: loop, limits, signals, log
reloading, watching                               a changed configuration, taken whole or not at all
workers/                                          the same proxy in several processes, and who looks after them

The only layer that sees `net` and `edge` together.
"""

from proxy.app.errors import CannotListen, CannotStart, LaxParser, UnusableTlsFile
from proxy.app.running import Running

__all__ = ["CannotListen", "CannotStart", "LaxParser", "Running", "UnusableTlsFile"]
