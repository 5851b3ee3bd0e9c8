"""Troubles with TLS are told apart, and none of them hides a stream from who looks past it."""

import datetime
import ssl
from pathlib import Path

import pytest
import trustme

from .planted import chunked, event, examined, ids, of, server

STREAM = chunked(event(1), event(2), event(3))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts the authority."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def serving(authority: trustme.CA, *names: str, expired: bool = False, early: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    future = past.replace(year=2090)
    issued = authority.issue_cert(
        *names,
        not_before=future if early else None,
        not_after=past if expired else future.replace(year=2091) if early else None,
    )
    issued.configure_cert(context)
    return context


def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A certificate that has signed itself, made by the library below trustme."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=2099)
    )
    signed = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    file = tmp_path / "self.pem"
    file.write_bytes(
        signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


async def test_a_stream_over_tls_is_healthy(authority: trustme.CA, trusted: None) -> None:
    async with server(STREAM, serving(authority, "localhost")) as port:
        diagnosis = await examined(f"https://localhost:{port}/")
    assert (ids(diagnosis), diagnosis.verdict) == ([], "streams")
    assert diagnosis.chain.seen.secured_s is not None


async def test_a_self_signed_certificate(tmp_path: Path) -> None:
    async with server(STREAM, self_signed(tmp_path)) as port:
        diagnosis = await examined(f"https://localhost:{port}/")
        past = await examined(f"https://localhost:{port}/", verify=False)
    assert (ids(diagnosis), diagnosis.verdict) == (["tls-self-signed"], "unreachable")
    assert (ids(past), len(past.chain.events)) == (["tls-self-signed"], 3)
    assert (past.verdict, past.findings[0].severity) == ("streams", "warning")


async def test_an_unknown_authority(authority: trustme.CA) -> None:
    async with server(STREAM, serving(authority, "localhost")) as port:
        assert ids(await examined(f"https://localhost:{port}/")) == ["tls-unknown-authority"]


async def test_an_expired_certificate(authority: trustme.CA, trusted: None) -> None:
    async with server(STREAM, serving(authority, "localhost", expired=True)) as port:
        assert ids(await examined(f"https://localhost:{port}/")) == ["tls-expired"]


async def test_a_certificate_of_the_future(authority: trustme.CA, trusted: None) -> None:
    async with server(STREAM, serving(authority, "localhost", early=True)) as port:
        assert ids(await examined(f"https://localhost:{port}/")) == ["tls-not-yet-valid"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_for_another_name(authority: trustme.CA, trusted: None, host: str) -> None:
    async with server(STREAM, serving(authority, "else.where")) as port:
        diagnosis = await examined(f"https://{host}:{port}/")
    assert ids(diagnosis) == ["tls-wrong-name"]
    assert host in of(diagnosis, "tls-wrong-name")


async def test_a_handshake_that_nobody_answers_ends_with_the_time() -> None:
    async with server([]) as port:
        diagnosis = await examined(f"https://127.0.0.1:{port}/", timeout_s=0.5)
    assert (ids(diagnosis), diagnosis.verdict) == (["tls-failed"], "unreachable")
    assert diagnosis.chain.seen.ended_s < 4


async def test_https_to_a_plain_port() -> None:
    """nginx, Node and aiohttp say 400 to a TLS hello, in HTTP."""
    from aiohttp import web

    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        diagnosis = await examined(f"https://127.0.0.1:{port}/")
    finally:
        await runner.cleanup()
    assert ids(diagnosis) == ["https-to-http-port"]


async def test_plain_http_to_a_tls_port(authority: trustme.CA) -> None:
    async with server(STREAM, serving(authority, "localhost")) as port:
        diagnosis = await examined(f"http://127.0.0.1:{port}/")
    assert (ids(diagnosis), diagnosis.verdict) == (["http-to-https-port"], "unreachable")
