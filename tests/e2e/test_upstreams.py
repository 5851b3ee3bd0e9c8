"""Servers that people write: the head is there before the body, and each piece while the next is held."""

import datetime
import ipaddress
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .harness import PATIENCE_S, Program, Stage, deliver
from .pieces import EVENTS

KINDS = ["http", "express", "express-compression", "aiohttp", "starlette"]
CAREFUL = "proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection '';"
READER = "eventsource-parser.mjs"

every_kind = pytest.mark.parametrize("kind", KINDS)


async def assert_streams(stage: Stage, origin: Program, url: str) -> None:
    client = await stage.client(READER, url)
    await origin.told("request", 30)
    opened = await client.told("open")
    delivery = await deliver(origin, client, EVENTS.pieces)
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [True, True, True]
    assert "content-encoding" not in opened.value
    await client.told("end")


@every_kind
async def test_the_head_and_each_piece_arrive_while_the_next_is_held(stage: Stage, kind: str) -> None:
    origin = await stage.origin(kind)
    proxy = await stage.streamsafe(origin.url)
    await assert_streams(stage, origin, f"{proxy.url}/events?x=1")


@every_kind
async def test_a_compressing_dev_proxy_holds_head_and_pieces(stage: Stage, kind: str) -> None:
    origin = await stage.origin(kind)
    peer = await stage.peer(origin.url)
    client = await stage.client(READER, peer.url)
    await origin.told("request", 30)
    delivery = await deliver(origin, client, EVENTS.pieces, patience_s=PATIENCE_S)
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [False, False, False]
    assert (await client.told("open")).value["content-encoding"] in ("gzip", "br")


async def test_an_upstream_that_compresses_itself_holds_its_pieces_behind_the_most_careful_nginx(stage: Stage) -> None:
    origin = await stage.origin("express-compression")
    peer = await stage.plain_nginx(origin.url, CAREFUL)
    client = await stage.client(READER, peer.url)
    await origin.told("request", 30)
    delivery = await deliver(origin, client, EVENTS.pieces, patience_s=PATIENCE_S)
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [False, False, False]


def self_signed(folder: Path) -> tuple[str, str]:
    """Paths of a key and of a certificate for 127.0.0.1 that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dev box")])
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"], False
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            True,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "dev.key").write_bytes(private)
    (folder / "dev.pem").write_bytes(certificate.public_bytes(pem))
    return str(folder / "dev.key"), str(folder / "dev.pem")


@pytest.mark.parametrize("tls", ["ca", "verify"])
async def test_a_self_signed_upstream_streams_once_its_certificate_is_named_or_not_checked(
    stage: Stage, tls: str
) -> None:
    key, certificate = self_signed(stage.folder)
    origin = await stage.origin("https", key, certificate)
    option = f"ca: {certificate}" if tls == "ca" else "verify: false"
    config = stage.folder / "proxy.yaml"
    config.write_text(f"routes:\n  - upstream: {origin.url}\n    tls: {{{option}}}\n", "utf-8")
    proxy = await stage.streamsafe("-c", str(config))
    await assert_streams(stage, origin, proxy.url)


async def test_a_self_signed_upstream_is_refused_with_the_mend_in_the_message(stage: Stage) -> None:
    origin = await stage.origin("https", *self_signed(stage.folder))
    proxy = await stage.streamsafe(origin.url)
    client = await stage.run("curl", "-sS", "-w", "\\n%{http_code}\\n", proxy.url)
    document = json.loads((await client.told("event")).value)
    assert document["error"]["code"] == "tls_certificate_error"
    assert "tls.ca" in document["error"]["message"]
    assert (await client.told("event")).value == "502"


async def test_a_dev_proxy_says_nothing_about_certificates_to_its_client(stage: Stage) -> None:
    origin = await stage.origin("https", *self_signed(stage.folder))
    peer = await stage.peer(origin.url)
    client = await stage.run("curl", "-sS", "-w", "\\n%{http_code}\\n", peer.url)
    message = (await client.told("event")).value
    assert "Error occurred while trying to proxy" in message
    assert "certificate" not in message
    assert (await client.told("event")).value in ("500", "504")
