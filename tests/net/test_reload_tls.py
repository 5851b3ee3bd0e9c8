"""Reload of what TLS needs: certificates are read anew on both sides, and a listener may begin or cease to speak it."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from proxy.app import UnusableTlsFile
from proxy.core.routes import Tls

from . import harness
from .certificates import serving
from .conftest import MakeOrigin, MakeProxy
from .harness import settings_of
from .origin import request
from .responses import OK


def issued(authority: trustme.CA, file: Path, name: str) -> str:
    authority.issue_cert("localhost", name).private_key_and_cert_chain_pem.write_to_path(str(file))
    return str(file)


@pytest.mark.parametrize("sends_a_name", [True, False])
async def test_a_renewed_certificate_is_shown_to_new_clients(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str, tmp_path: Path, sends_a_name: bool
):
    """MUST. The file is read anew, also where its name is the same; open connections go on."""
    file = tmp_path / "cert.pem"
    one = await origin([request, OK, request, OK])
    tls = {"tls_cert": str(file), "tls_key": str(file)}
    trusting = ssl.create_default_context(cafile=authority_file)
    trusting.check_hostname = False
    issued(authority, file, "one.test")
    proxied = await proxy(one, settings=tls)
    seen = []
    first = await proxied.connect(tls=trusting)
    await first.ask_for_answer()
    for name in ("one.test", "two.test", "three.test"):
        issued(authority, file, name)
        await proxied.running.reload(settings_of(harness.route(one.port), **tls))
        shown = ssl.create_default_context(cafile=authority_file)
        shown.check_hostname = False
        _, writer = await asyncio.open_connection(
            "127.0.0.1", proxied.port, ssl=shown, server_hostname="localhost" if sends_a_name else ""
        )
        found = [entry for _, entry in writer.get_extra_info("peercert")["subjectAltName"]]
        seen.append(name in found)
        writer.close()
        await writer.wait_closed()
    assert seen == [True, True, True]
    await first.ask_for_answer()


async def test_a_certificate_that_cannot_be_read_changes_nothing(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str, tmp_path: Path
):
    """MUST."""
    file = tmp_path / "cert.pem"
    one = await origin([request, OK])
    tls = {"tls_cert": issued(authority, file, "one.test"), "tls_key": str(file)}
    proxied = await proxy(one, settings=tls)
    file.write_text("nothing")
    with pytest.raises(UnusableTlsFile, match=r"no usable PEM in .*cert\.pem"):
        await proxied.running.reload(settings_of(harness.route(one.port), **tls))
    client = await proxied.connect(tls=ssl.create_default_context(cafile=authority_file))
    assert (await client.ask_for_answer()).body == b"ok"


async def test_tls_can_begin_and_end_on_the_same_address(
    origin: MakeOrigin, proxy: MakeProxy, authority_file: str, certificate_file: str
):
    """MUST. The port stays the same, and a connection that was plain stays so."""
    one = await origin([step for _ in range(5) for step in (request, OK)])
    proxied = await proxy(one)
    plain = await proxied.connect()
    await plain.ask_for_answer()
    await proxied.running.reload(
        settings_of(harness.route(one.port), tls_cert=certificate_file, tls_key=certificate_file)
    )
    assert proxied.running.addresses == [f"https://127.0.0.1:{proxied.port}"]
    secure = await proxied.connect(tls=ssl.create_default_context(cafile=authority_file))
    await secure.ask_for_answer()
    await plain.ask_for_answer()
    await proxied.running.reload(settings_of(harness.route(one.port)))
    again = await proxied.connect()
    await again.ask_for_answer()
    await secure.ask_for_answer()


async def test_an_upstreams_authority_is_read_anew(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, tmp_path: Path
):
    """MUST. A connection made by the old file is not used again; files that are the same keep theirs."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    one = await origin([request, OK, request, OK, request, OK], tls=serving(authority))
    served = harness.route(one.port, tls=Tls(ca=str(file)))
    proxied = await proxy(served)
    client = await proxied.connect()
    assert (await client.ask_for_answer()).status == 200
    await proxied.running.reload(settings_of(served))
    assert (await client.ask_for_answer()).status == 200
    assert len(one.connections) == 1, "the same file is the same upstream"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert (await client.ask_for_answer()).status == 200, "files are looked at only when a configuration is taken"
    await proxied.running.reload(settings_of(served))
    assert (await client.ask_for_answer()).status == 502


async def test_the_files_of_every_upstream_are_read_at_the_start(proxy: MakeProxy):
    """MUST. Also those of the second of a route: a wrong file stops a start, and never a request."""
    plain = harness.shared(1, 2)
    assert plain.sharing is not None
    first, second = plain.sharing.upstreams
    over_tls = replace(second, origin=replace(second.origin, tls=Tls(ca="/nowhere/ca.pem")))
    with pytest.raises(UnusableTlsFile, match="no such file"):
        await proxy(replace(plain, sharing=replace(plain.sharing, upstreams=(first, over_tls))))
