"""The page, its files, and where it may connect."""

import json
import re
import socket
from importlib.resources import files

import aiohttp
import pytest
from yarl import URL

from proxy.demo import upstream
from proxy.demo.run import Demo, start

from .conftest import Receive


async def test_the_page_may_load_from_itself_and_call_the_middleman_and_nothing_else(
    demo: Demo, receive: Receive
) -> None:
    received = await receive(f"{demo.upstream_url}/")
    policy = dict(directive.split(" ", 1) for directive in received.headers["Content-Security-Policy"].split("; "))
    assert received.headers["Content-Type"] == "text/html; charset=utf-8"
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"'self' {demo.middleman_url}"
    assert "unsafe" not in received.headers["Content-Security-Policy"]


async def test_every_file_the_page_names_is_served_with_its_type(demo: Demo, receive: Receive) -> None:
    page = (await receive(f"{demo.upstream_url}/")).body.decode()
    paths = set(re.findall(r'(?:href|src)="([^"]+)"', page))
    imports = {f"/demo/static/{file.name}" for file in files("proxy.demo").joinpath("page").iterdir()}
    assert paths <= imports
    for path in imports:
        received = await receive(demo.upstream_url + path)
        assert received.status == 200, path
        assert received.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["..%2frun.py", "..%2f..%2fdemo%2frun.py", "nothing.js", "%2e%2e", "index.html%00"])
async def test_no_other_file_can_be_had(demo: Demo, session: aiohttp.ClientSession, name: str) -> None:
    async with session.get(URL(f"{demo.upstream_url}/demo/static/{name}", encoded=True)) as response:
        assert response.status == 404


def test_the_scripts_put_data_into_the_page_as_text_only() -> None:
    for file in files("proxy.demo").joinpath("page").iterdir():
        if file.name.endswith(".js"):
            source = file.read_text(encoding="utf-8")
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source), file.name


def test_the_page_reaches_for_nothing_outside() -> None:
    for file in files("proxy.demo").joinpath("page").iterdir():
        addresses = set(re.findall(r"https?://[^\s\"'`$]+", file.read_text(encoding="utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name


async def test_the_config_tells_the_middleman_and_whether_a_proxy_is_between(demo: Demo, receive: Receive) -> None:
    direct = await receive(f"{demo.upstream_url}/demo/config")
    proxied = await receive(f"{demo.upstream_url}/demo/config", headers={"Via": "1.1 somebody"})
    assert json.loads(direct.body) == {"middleman": demo.middleman_url, "proxied": False}
    assert json.loads(proxied.body)["proxied"] is True
    assert direct.headers["Cache-Control"] == "no-store"


async def test_without_a_middleman_the_page_may_call_only_itself(aiohttp_client) -> None:
    client = await aiohttp_client(upstream.application())
    page = await client.get("/")
    config = await client.get("/demo/config")
    assert "connect-src 'self';" in page.headers["Content-Security-Policy"]
    assert (await config.json())["middleman"] is None


async def test_the_demo_closes_both_of_its_ports_and_may_be_closed_twice(session: aiohttp.ClientSession) -> None:
    demo = await start()
    await demo.aclose()
    await demo.aclose()
    for url in (demo.upstream_url, demo.middleman_url):
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)


async def test_the_demo_starts_on_the_loopback_of_either_family(receive: Receive) -> None:
    if not _has_ipv6():
        pytest.skip("no IPv6 loopback here")
    async with await start("::1") as demo:
        assert demo.upstream_url.startswith("http://[::1]:")
        assert (await receive(f"{demo.middleman_url}/feed?pace=0")).is_whole


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
