"""The page, its files, and the two documents it asks for: where the middleman is, and what the model does."""

from importlib.resources import files

from aiohttp import web

from proxy.demo.tally import Tally

_CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# What shows that a request passed a proxy, so that the page can say when it did not.
_FORWARDED = ("Via", "Forwarded", "X-Forwarded-For")


class Site:
    """The files of the page, held in memory: there are few, and a wheel need not be a directory."""

    def __init__(self, tally: Tally, middleman_url: str | None) -> None:
        self._tally = tally
        self._middleman_url = middleman_url
        page = files("proxy.demo").joinpath("page")
        self._files = {file.name: file.read_bytes() for file in page.iterdir() if _suffix(file.name) in _CONTENT_TYPES}
        self._headers = {
            "Content-Security-Policy": _content_security_policy(middleman_url),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }

    def routes(self) -> list[web.RouteDef]:
        """What the site answers to."""
        return [
            web.get("/", self._index),
            web.get("/demo/static/{name}", self._static),
            web.get("/demo/config", self._config),
            web.get("/demo/state", self._state),
        ]

    async def _index(self, _request: web.Request) -> web.Response:
        return self._file("index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    async def _config(self, request: web.Request) -> web.Response:
        proxied = any(name in request.headers for name in _FORWARDED)
        return _fresh({"middleman": self._middleman_url, "proxied": proxied})

    async def _state(self, _request: web.Request) -> web.Response:
        return _fresh(self._tally.state())

    def _file(self, name: str) -> web.Response:
        # A name is looked up, never joined to a path: what is not in the table does not exist.
        body = self._files.get(name)
        if body is None:
            raise web.HTTPNotFound
        content_type = _CONTENT_TYPES[_suffix(name)]
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=self._headers)


def _fresh(document: object) -> web.Response:
    return web.json_response(document, headers={"Cache-Control": "no-store"})


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _content_security_policy(middleman_url: str | None) -> str:
    directives = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'" + (f" {middleman_url}" if middleman_url else ""),
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return "; ".join(directives)
