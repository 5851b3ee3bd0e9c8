"""The files of the page, held in memory: there are few, and a wheel need not be a directory."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOLDER = "/inspector/"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def page_files() -> dict[str, Handler]:
    """What each path of the page answers; what is not in here does not exist."""
    found = {}
    for file in files("proxy.edge.inspector").joinpath("page").iterdir():
        kind = _TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if file.name == "index.html" else FOLDER + file.name
            found[path] = _file(file.read_bytes(), kind)
    return found


def _file(body: bytes, content_type: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return answer
