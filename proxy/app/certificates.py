"""TLS contexts of both sides, made when a configuration is taken: a wrong file stops that, and never a request."""

import contextlib
import os
import ssl
from collections.abc import Iterator

from proxy.app.errors import UnusableTlsFile
from proxy.config.compile import Settings
from proxy.core.routes import Tls
from proxy.net.upstream.tls import Contexts


class ServerTls:
    """What clients are shown. A listener keeps its context for good; this one hands each handshake to the newest.

    Connections that stand are not touched.
    """

    def __init__(self, made: ssl.SSLContext) -> None:
        self._newest = self.context = made
        made.sni_callback = self._choose

    def replace(self, made: ssl.SSLContext) -> None:
        """Shows another certificate from now on."""
        self._newest = made

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called in every handshake, also where the client names no server."""
        connection.context = self._newest


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context of the listeners, if they speak it. Errors: UnusableTlsFile."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    with _naming("tls", cert, key):
        made.load_cert_chain(cert, key)
    return made


def upstream_contexts(settings: Settings, before: Contexts) -> Contexts:
    """The contexts of all upstreams; those whose files are as they were are the same. Errors: UnusableTlsFile."""
    contexts = Contexts()
    for place, wanted in _wanted(settings):
        with _naming(place, wanted.ca, wanted.cert, wanted.key):
            contexts.load(wanted, before)
    return contexts


def faults(settings: Settings) -> list[str]:
    """All that is wrong with the files that TLS needs, for who only wants to know."""
    found = []
    try:
        server_context(settings)
    except UnusableTlsFile as error:
        found.append(str(error))
    for place, wanted in sorted(_wanted(settings), key=str):
        try:
            with _naming(place, wanted.ca, wanted.cert, wanted.key):
                Contexts().of(wanted)
        except UnusableTlsFile as error:
            found.append(str(error))
    return found


def _wanted(settings: Settings) -> set[tuple[str, Tls]]:
    """What the upstreams of each route want, and its place in the configuration."""
    return {
        (f"routes.{route.name}.tls", upstream.origin.tls)
        for site in settings.sites
        for route in site.proxy.routes
        for upstream in route.upstreams
        if upstream.origin.tls is not None
    }


@contextlib.contextmanager
def _naming(place: str, *files: str | None) -> Iterator[None]:
    """Errors of OpenSSL say neither which file nor what to do about it."""
    named = [file for file in files if file is not None]
    try:
        for file in named:
            with open(file, "rb"):
                pass
        yield
    except ssl.SSLError as error:
        raise UnusableTlsFile(f"{place}: no usable PEM in {' and '.join(named)} ({error.reason or error})") from error
    except OSError as error:
        raise UnusableTlsFile(f"{place}: {error.filename}: {os.strerror(error.errno or 0).lower()}") from error
