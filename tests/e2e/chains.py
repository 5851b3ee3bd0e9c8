"""What stands in front of the proxy, as its users configure and start it. The recipes show the files of chains/."""

import asyncio
import shutil
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from .harness import CHAINS, NODE, START_LIMIT_S, Program, Stage, free_port, left_out

PROXY = "http://127.0.0.1:8787"
"""Where the proxy is in every recipe, and in no test."""


@dataclass(frozen=True)
class Chain:
    """Something in front of the proxy."""

    name: str
    """Of its folder, and of its recipe."""
    file: str
    """The configuration that the recipe shows."""
    command: str
    """How the recipe starts it."""
    options: str = ""
    """What a test adds, so that it listens on loopback at a port nobody else has."""
    script: str = ""
    """The path of a script that it makes itself, and compresses."""

    @property
    def config(self) -> str:
        return (CHAINS / self.name / self.file).read_text("utf-8")

    def pointed_at(self, target: str) -> str:
        """The configuration with another target."""
        assert self.config.count(PROXY) == 1
        return self.config.replace(PROXY, target)


WEBPACK = Chain(
    "webpack", "webpack.config.js", "npx webpack serve", "--host 127.0.0.1 --port {port}", script="/main.js"
)
VUE_CLI = Chain(
    "vue-cli", "vue.config.js", "npx vue-cli-service serve", "--host 127.0.0.1 --port {port}", script="/js/app.js"
)
UMI = Chain("umi", ".umirc.ts", "npx umi dev", script="/umi.js")
VITE = Chain("vite", "vite.config.js", "npx vite", "--host 127.0.0.1 --port {port} --strictPort")
NGINX = Chain("nginx", "nginx.conf", "sudo nginx -s reload")
ALL = [WEBPACK, VUE_CLI, UMI, VITE, NGINX]


async def dev_server(stage: Stage, chain: Chain, target: str) -> Program:
    """Runs a chain's command in a copy of its folder, with this target in its proxy entry."""
    if not (NODE / "node_modules").is_dir():
        left_out("the Node packages are not installed (make e2e does that)")
    folder, port = stage.folder / f"{chain.name}-{len(stage.programs)}", str(free_port())
    shutil.copytree(CHAINS / chain.name, folder)
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    (folder / chain.file).write_text(chain.pointed_at(target), "utf-8")
    runner, program, *words = chain.command.split()
    assert runner == "npx"
    command = [str(folder / "node_modules/.bin" / program), *words, *chain.options.format(port=port).split()]
    environ = {"HOST": "127.0.0.1", "PORT": port, "BROWSER": "none"}
    running = await stage.run(*command, cwd=folder, environ=environ)
    running.url = f"http://127.0.0.1:{port}"
    await wait_page(running)
    return running


async def wait_page(running: Program) -> None:
    """Returns once it answers a request. To accept connections is not enough: some listen only to try a port."""
    async with asyncio.timeout(START_LIMIT_S), aiohttp.ClientSession() as session:
        while True:
            assert not running.is_over(), f"{running.name} ended:\n{running.text}"
            with suppress(aiohttp.ClientConnectionError):
                async with session.get(running.url) as response:
                    assert response.status == 200, running.text
                    return
            await asyncio.sleep(0.05)
