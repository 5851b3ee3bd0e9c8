"""TLS contexts for connections to upstreams: system trust by default, the operator's authority or none on request."""

import hashlib
import ssl
from pathlib import Path

from proxy.core.routes import Tls


class Contexts:
    """The contexts of one configuration: their files are read when it is taken, and not looked at again."""

    def __init__(self) -> None:
        self._made: dict[Tls, tuple[tuple[bytes, ...], ssl.SSLContext]] = {}

    def load(self, tls: Tls, before: "Contexts") -> None:
        """Makes a context, or takes that of `before` if no file has changed since.

        Loading the system's certificates takes tens of milliseconds, and connections that are kept belong to their
        context. Errors: OSError or ssl.SSLError where a file cannot be read or is no certificate or key.
        """
        files = tuple(_digest(file) for file in (tls.ca, tls.cert, tls.key) if file is not None)
        known = before._made.get(tls)
        self._made[tls] = known if known is not None and known[0] == files else (files, context(tls))

    def of(self, tls: Tls | None) -> ssl.SSLContext | None:
        """The context for these settings, made now if nobody loaded it; None for none."""
        if tls is None:
            return None
        if tls not in self._made:
            self.load(tls, self)
        return self._made[tls][1]


def context(tls: Tls) -> ssl.SSLContext:
    """A new context. Errors: OSError or ssl.SSLError, as above."""
    made = ssl.create_default_context(cafile=tls.ca)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if tls.cert:
        made.load_cert_chain(tls.cert, tls.key)
    return made


def _digest(file: str) -> bytes:
    return hashlib.sha256(Path(file).read_bytes()).digest()
