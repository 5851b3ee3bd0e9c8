"""The admin listener: /healthz and /readyz for probes, /metrics and /status for operators, / for the inspector.

Nothing here changes anything: every page is read by GET. The two probes give constant answers and are open, because a
kubelet comes with the pod's address as Host and without a token; all else is behind the Host check, which stops DNS
rebinding. What tells anything is behind the token, if there is one; the files of the inspector's page tell nothing,
and a browser can send a token only once it has them.
"""

import hmac
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from proxy.core.guard import Hosts

if TYPE_CHECKING:  # where the inspector is off nobody needs it
    from proxy.edge.inspector.api import Api

_KEEP_ALIVE_S = 75.0
# How long a page that is being sent may keep a stop.
_SHUTDOWN_S = 0.5
_PROBES = frozenset({"/healthz", "/readyz"})
_PAGES = {
    "/healthz": "200 while the process serves, also while it drains",
    "/readyz": "200 while new requests are taken, 503 while it drains",
    "/metrics": "for Prometheus",
    "/status": "routes, upstreams and what is open, as JSON",
}
_INDEX = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>streamsafe</title><h1>streamsafe</h1>"
    "<dl>{rows}</dl></html>"
)
_FIELDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger("proxy.admin")


def _shortened(record: logging.LogRecord) -> bool:
    """What is no HTTP is one short line, where aiohttp logs an error with a traceback."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
        record.msg, record.args = "the admin listener was sent what is no HTTP", ()
        return log.isEnabledFor(logging.INFO)
    return True


log.addFilter(_shortened)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Readiness(Protocol):
    """Who knows whether requests are taken."""

    @property
    def not_ready(self) -> str:
        """Why they are not, in a sentence without a secret; empty if they are."""


class MetricsPage(Protocol):
    """Who has the figures, of one process or of several."""

    async def page(self, accept: str) -> tuple[bytes, str]:
        """Everything in the text form that is asked for, and its media type."""


class StatusPage(Protocol):
    """Who has the state, of one process or of several."""

    async def document(self) -> dict[str, Any]:
        """What /status says."""


class Admin:
    """The pages of one proxy. `hosts` None is no Host check, `token` None is none needed, `api` None no inspector."""

    def __init__(
        self,
        state: Readiness,
        metrics: MetricsPage,
        status: StatusPage,
        hosts: Hosts | None,
        token: str | None,
        api: "Api | None" = None,
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._status = status
        self._hosts = hosts
        self._token = token
        application = web.Application(middlewares=[self._guarded])
        self._api = api
        self._open = _PROBES
        if api is None:
            application.router.add_get("/", self._index)
        else:
            from proxy.edge.inspector.pages import page_files

            files = page_files()
            application.router.add_routes([*api.routes(), *[web.get(path, file) for path, file in files.items()]])
            self._open |= files.keys()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics_page)
        application.router.add_get("/status", self._status_page)
        application.on_response_prepare.append(_finish)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=log,
            keepalive_timeout=_KEEP_ALIVE_S,
            shutdown_timeout=_SHUTDOWN_S,
            handler_cancellation=True,  # a page that is closed is not watched for any more
        )
        self.address = ""
        """Where it listens, once it does: a URL with the port in use, or `unix:` and a path."""

    async def listen(self, bound: Sequence[socket.socket], host: str | None, path: str | None) -> None:
        """Listens on a Unix socket if there is a `path`, else on these, bound to `host`. Errors: OSError."""
        await self._runner.setup()
        waiting = list(bound)
        try:
            if path is not None:
                await web.UnixSite(self._runner, path).start()
            while waiting:
                await web.SockSite(self._runner, waiting[0]).start()
                del waiting[0]
        except OSError:
            for one in waiting:
                one.close()
            await self._runner.cleanup()
            raise
        if path is not None:
            self.address = f"unix:{path}"
        else:
            name = f"[{host}]" if ":" in (host or "") else host
            self.address = f"http://{name}:{self._runner.addresses[0][1]}"

    def admit(self, hosts: Hosts | None, token: str | None) -> None:
        """Admits others from now on."""
        self._hosts, self._token = hosts, token

    async def close(self) -> None:
        """Ends the listener."""
        if self._api is not None:
            self._api.close()
        await self._runner.cleanup()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host, token, then the page; every refusal is JSON like those of the proxy itself."""
        if request.path not in _PROBES:
            if not self._is_for_us(request):
                return _refusal(421, "misdirected", "The admin listener does not answer for this Host.")
            if request.path not in self._open and not self._has_token(request):
                refused = _refusal(401, "unauthorized", "Send the admin_token as `Authorization: Bearer ...`.")
                refused.headers["WWW-Authenticate"] = "Bearer"
                return refused
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            refused = _refusal(405, "method_not_allowed", "Everything here is read by GET.")
            refused.headers["Allow"] = error.headers["Allow"]
            return refused
        except web.HTTPNotFound as error:
            if request.match_info.http_exception is None:
                return _refusal(404, "not_found", error.reason)
            return _refusal(404, "not_found", f"There is no such page here, but {', '.join(['/', *_PAGES])}.")
        except web.HTTPClientError as error:
            return _refusal(error.status, "bad_request", error.reason)
        except web.HTTPServiceUnavailable as error:
            return _refusal(503, "too_many", error.reason)
        except web.HTTPGatewayTimeout as error:
            return _refusal(504, "no_answer", error.reason)

    def _is_for_us(self, request: web.Request) -> bool:
        """The Host check; a target with an authority of its own is for a proxy, which this is not."""
        if self._hosts is None:
            return True
        hosts = request.headers.getall("Host", [])
        return (
            request.raw_path.startswith("/")
            and len(hosts) == 1
            and self._hosts.allow(hosts[0].encode("utf-8", "surrogateescape"))
        )

    def _has_token(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        given_bytes = given.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given_bytes, self._token.encode("utf-8"))

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.StreamResponse:
        if self._state.not_ready:
            return web.Response(status=503, text=f"{self._state.not_ready}\n")
        return web.Response(text="ready\n")

    async def _metrics_page(self, request: web.Request) -> web.StreamResponse:
        body, media_type = await self._metrics.page(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def _status_page(self, request: web.Request) -> web.StreamResponse:
        document = await self._status.document()
        return web.Response(text=json.dumps(document, indent=2) + "\n", content_type="application/json")

    async def _index(self, request: web.Request) -> web.StreamResponse:
        rows = [f'<dt><a href="{path}">{path}</a></dt><dd>{text}</dd>' for path, text in _PAGES.items()]
        return web.Response(text=_INDEX.format(rows="".join(rows)), content_type="text/html")


def _refusal(status: int, code: str, message: str) -> web.Response:
    document = {"error": {"type": "client", "code": code, "message": message}}
    return web.json_response(document, status=status)


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_FIELDS)
    response.headers.pop("Server", None)
