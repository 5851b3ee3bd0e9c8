"""The demo's two servers, the upstream and the middleman, on free ports of the loopback interface."""

import socket
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import web

from proxy.demo import middleman, upstream


class Demo:
    """The running demo. It ends with its `async with` block, or with `aclose`."""

    def __init__(self, upstream_url: str, middleman_url: str, servers: AsyncExitStack) -> None:
        self.upstream_url = upstream_url
        self.middleman_url = middleman_url
        self._servers = servers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes both servers and every connection to them. A second call does nothing."""
        await self._servers.aclose()


async def start(loopback_host: str = "127.0.0.1") -> Demo:
    """Starts both servers on `loopback_host`, an address. Raises OSError if it cannot be listened on."""
    async with AsyncExitStack() as servers:
        # Both ports are taken before either server starts, because each has to know the other's.
        upstream_socket = servers.enter_context(_listen(loopback_host))
        middleman_socket = servers.enter_context(_listen(loopback_host))
        upstream_url, middleman_url = _url(upstream_socket), _url(middleman_socket)
        await _serve(servers, upstream.application(middleman_url), upstream_socket)
        await _serve(servers, middleman.application(upstream_url), middleman_socket)
        return Demo(upstream_url, middleman_url, servers.pop_all())


async def _serve(servers: AsyncExitStack, app: web.Application, listener: socket.socket) -> None:
    # Cancellation is what stops a generation at once when its client leaves; aiohttp leaves it off unless told.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    servers.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.SockSite(runner, listener).start()


def _listen(host: str) -> socket.socket:
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
