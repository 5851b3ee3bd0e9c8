"""The doctor in front of real dev servers: who compresses is found, and with streamsafe behind them all is well."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .chains import VUE_CLI, WEBPACK, Chain, dev_server
from .harness import Program, Stage

EVENTS = 8
GAP_S = 0.2
every_chain = pytest.mark.parametrize("chain", [WEBPACK, VUE_CLI], ids=lambda chain: chain.name)


async def examined(stage: Stage, origin: Program, url: str, *more: str) -> tuple[int, dict[str, Any]]:
    """Exit code and findings of `streamsafe doctor`, while the origin sends events one by one to each request."""
    command = str(Path(sys.executable).with_name("streamsafe"))
    running = await asyncio.create_subprocess_exec(
        command, "doctor", url, "--format", "json", *more, cwd=stage.folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        for _ in range(1 + ("--direct" in more)):
            await origin.told("request", 30)
            for number in range(EVENTS):
                await origin.send(f'data: {{"n":{number}}}\n\n')
                await asyncio.sleep(GAP_S)  # the pace is what the doctor looks at
            await origin.finish()
        async with asyncio.timeout(30):
            stdout, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    return running.returncode or 0, json.loads(stdout)


@every_chain
async def test_the_dev_server_is_named_as_the_one_that_compresses(stage: Stage, chain: Chain) -> None:
    origin = await stage.origin()
    front = await dev_server(stage, chain, origin.url)
    code, told = await examined(stage, origin, f"{front.url}/api/e", "--direct", f"{origin.url}/api/e")
    found = {finding["id"]: finding for finding in told["findings"]}
    assert (code, told["verdict"]) == (3, "does_not_stream")
    assert found["compressed"]["severity"] == "fault"
    assert found["compressed"]["where"] == "between"
    assert any("Content-Encoding" in line for line in found["compressed"]["evidence"])
    assert any("devServer: {compress: false}" in line for line in found["compressed"]["mend"])
    assert found["hop-buffers"]["where"] == "between"


@every_chain
async def test_with_streamsafe_behind_it_the_same_dev_server_streams(stage: Stage, chain: Chain) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    front = await dev_server(stage, chain, proxy.url)
    code, told = await examined(stage, origin, f"{front.url}/api/e", "--direct", f"{origin.url}/api/e")
    assert (code, told["verdict"]) == (0, "streams")
    assert [finding["id"] for finding in told["findings"] if finding["severity"] == "fault"] == []


async def test_its_configuration_is_imported_and_says_so(stage: Stage) -> None:
    """The compiler of a real project takes the types out."""
    folder = stage.folder / "typed"
    folder.mkdir()
    (folder / "node_modules").symlink_to(Path(__file__).parent / "node" / "node_modules")
    (folder / "vite.config.ts").write_text(
        "import { defineConfig, type UserConfig } from 'vite';\n"
        "const rewrite = (path: string): string => path.replace(/^\\/api/, '');\n"
        "export default defineConfig({ server: { proxy: { '/api': { target: 'http://localhost:1', rewrite } } } } "
        "satisfies UserConfig);\n"
    )
    command = str(Path(sys.executable).with_name("streamsafe"))
    program = await stage.run(command, "import", "vite.config.ts", cwd=folder)
    assert await program.ended() == 0, program.text
    assert "strip_prefix: true" in program.text
