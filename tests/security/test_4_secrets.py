"""Keys leak sideways: into logs, errors, redirects, other people's requests, and files that anybody may read."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.config.load import ConfigError, load_text
from tests.cli.command import Command, run_once
from tests.net.client import Client, connect
from tests.net.conftest import MakeOrigin
from tests.net.origin import Connection, fin, request, whole_request
from tests.net.responses import counted
from tests.net.wire import head
from tests.spec.relayed import answering

from .world import CANARY, ENVIRON, HOST, code, routes, world

SECRETS = {
    "KEY": CANARY,
    "PROXY_TOKEN": "token-plainly+0123/456=789",
    "RULE": "rule-canary-0123456789abcd",
    "URL_KEY": "url-canary-0123456789abcde",
}
IN_A_FILE = "file-canary-0123456789abcd"
ALL = [*SECRETS.values(), IN_A_FILE]


def forms(secret: str) -> set[str]:
    """What somebody who searches for a secret would search for."""
    coded = {base64.b64encode((before + secret).encode()).decode()[4:-4] for before in ("", "u", "us", "user:")}
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret[8:-4], *coded}


def found(text: str) -> list[str]:
    return [form for secret in ALL for form in forms(secret) if form in text]


def everywhere(port: int, closed: int, file: Path) -> str:
    """A configuration with a secret in every place that takes one."""
    return f"""
listen: 127.0.0.1:0
admin: off
clients: {{tokens: ["${{PROXY_TOKEN}}"]}}
defaults: {{headers: {{request: {{set: {{x-rule-secret: "${{RULE}}"}}}}}}}}
routes:
- {{name: good, path: /good/, upstream: "http://127.0.0.1:{port}", api_key: "${{KEY}}"}}
- {{name: url, path: /url/, upstream: "http://127.0.0.1:{port}/?key=${{URL_KEY}}"}}
- {{name: file, path: /file/, preset: anthropic, upstream: "http://127.0.0.1:{port}", api_key: "${{file:{file}}}"}}
- {{name: closed, path: /closed/, upstream: "http://127.0.0.1:{closed}", api_key: "${{KEY}}"}}
"""


def asked(token: str) -> list[bytes]:
    """Exchanges that end well and badly, each with our secrets in the client's own bytes."""
    known = b"Authorization: Bearer " + token.encode()
    planted = quote(CANARY, safe="").encode()
    basic = base64.b64encode(b"user:" + CANARY.encode())

    def get(target: bytes, *lines: bytes, host: bytes = HOST) -> bytes:
        return head(b"GET " + target + b" HTTP/1.1", host, b"Connection: close", *lines)

    return [
        get(b"/good/x", known),
        get(b"/good/x?q=" + planted + b"&key=" + planted + b";token=" + planted, known),
        get(b"/good/" + planted + b"/x", known),
        get(b"/good/%s" % basic.rstrip(b"="), known),
        get(b"/url/x", known),
        get(b"/file/x", known),
        get(b"/closed/" + planted, known),
        get(b"/good/cut", known),
        get(b"/good/garbage", known),
        get(b"/good/x?q=" + token.encode()),
        get(b"/good/x", b"Authorization: Bearer " + CANARY.encode()),
        get(b"/good/x", b"Origin: https://" + CANARY.encode() + b".example", known),
        get(b"/nowhere/" + planted, known),
        get(b"/good/x", host=b"Host: " + CANARY.encode() + b".example"),
        get(b"/good/../" + planted, known),
        CANARY.encode() + b" / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + CANARY.encode() + b"\r\n\r\n",
        b"GET /" + CANARY.encode() + b" HTTP/9.9\r\nHost: localhost\r\n\r\n",
    ]


async def answers(connection: Connection) -> None:
    """A good answer, one that is cut, or one that is no HTTP and quotes our key."""
    await connection.until(lambda: bool(connection.requests), "a request", 20)
    target = connection.requests[0].target
    if b"cut" in target:
        connection.send(head(b"HTTP/1.1 200 OK", b"Content-Length: 5") + b"cu")
    elif b"garbage" in target:
        connection.send(b"HTTP/1.1 200 OK\r\nA " + CANARY.encode() + b"\r\n\r\n")
    else:
        connection.send(counted(b"ok", b"Connection: close"))
    connection.close()


async def read_all(client: Client) -> bytes:
    client.reader = None  # whatever comes
    await client.wait_ended()
    return client.raw


@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_output_of_a_full_run_holds_a_secret(
    origin: MakeOrigin, launch: Callable[..., Command], tmp_path: Path, form: str
):
    """SEC-27: log lines of every level, warnings, error answers and what the program prints, in every encoding."""
    file = tmp_path / "key"
    file.write_text(IN_A_FILE)
    file.chmod(0o600)
    one = await origin([answers])
    closed = await origin([fin])
    await closed.close()
    (tmp_path / "proxy.yaml").write_text(everywhere(one.port, closed.port, file))
    command = launch(
        "serve", "-c", str(tmp_path / "proxy.yaml"), "--log", form, "--log-level", "debug", environ=SECRETS
    )
    port = int((await command.wait_url()).rpartition(":")[2])
    ours = []
    requests = asked(SECRETS["PROXY_TOKEN"])
    for sent in requests:
        client = await connect(port)
        client.send(sent)
        ours.append(await read_all(client))
        client.transport.abort()
        await client.wait_gone()
    lines = await command.wait_lines("outcome", len(requests))
    assert len(lines) == len(requests)
    # The keys did go where they belong, or nothing was tested.
    sent = b"".join(connection.raw for connection in one.connections).decode()
    assert all(secret in sent for name, secret in SECRETS.items() if name != "PROXY_TOKEN")
    assert IN_A_FILE in sent
    assert SECRETS["PROXY_TOKEN"] not in sent
    assert found(b"".join(ours).decode("latin-1")) == []
    assert found(command.stdout + command.stderr) == []
    assert "sk-\\u2026cdef" in command.stderr


FAULTS = [
    "routes: [{preset: openai, api_key: '${KEY}', cors: {origins: ['*']}}]",
    "routes: [{name: '${KEY}', preset: openai, api_key: '${KEY}', nonsense: '${KEY}'}]",
    "listen: '${KEY}'\nroutes: [{preset: openai, api_key: '${KEY}'}]",
    "listen: 0.0.0.0:80\nroutes: [{name: '${KEY}', preset: openai, api_key: '${KEY}'}]",
    "routes: [{preset: '${KEY}', api_key: '${KEY}x'}]",
    "routes: [{upstream: 'http://u:${KEY}@a/', api_key: '${NOT_SET}'}]",
    "routes: [{upstream: 'ftp://a/?key=${KEY}'}]",
    "routes: [{upstream: 'http://a/?key=" + CANARY + "'}]",
    "routes: [{upstream: 'http://a', headers: {request: {set: {authorization: 'Bearer " + CANARY + "'}}}}]",
    "routes: [{upstream: 'http://a', headers: {request: {set: {host: '${KEY}'}}}}]",
    "routes: [{upstream: 'http://a', timeouts: {idle: '${KEY}'}}]",
    "clients: {tokens: ['${KEY:-" + CANARY + "}']}\nroutes: [{upstream: 'http://a'}]",
    "routes: [{preset: openai, api_key: " + CANARY + "}]",
]


@pytest.mark.parametrize("text", FAULTS)
def test_no_message_about_a_configuration_holds_a_secret(tmp_path: Path, text: str):
    """SEC-27 too: what is wrong is said with line and column, never with the value that came out of a variable."""
    (tmp_path / "proxy.yaml").write_text(text)
    for command in ("check", "serve"):
        done = run_once(tmp_path, command, "-c", "proxy.yaml", environ=SECRETS)
        assert done.returncode == 2
        assert "proxy.yaml:" in done.stderr
        assert found(done.stdout + done.stderr) == []


def test_what_is_in_force_is_printed_without_a_secret(tmp_path: Path):
    """SEC-27 too: `check --print` shows every key in the form in which it is recognised, and in no other."""
    file = tmp_path / "key"
    file.write_text(IN_A_FILE)
    file.chmod(0o600)
    (tmp_path / "proxy.yaml").write_text(everywhere(1, 2, file))
    done = run_once(tmp_path, "check", "--print", "-c", "proxy.yaml", environ=SECRETS)
    assert done.returncode == 0, done.stderr
    assert found(done.stdout + done.stderr) == []
    for shown in ("sk-…cdef", "token-…=789", "rule-…abcd", "key=url-…bcde", "file-…abcd"):
        assert shown in done.stdout


OWN = (
    b"Authorization: Bearer sk-mine",
    b"x-api-key: sk-mine",
    b"api-key: sk-mine",
    b"x-goog-api-key: sk-mine",
    b"Cookie: session=mine",
)


async def test_a_clients_own_credentials_stop_where_ours_begin(origin: MakeOrigin):
    """SEC-28: two keys in one request are one too many; without ours, theirs pass untouched, and nobody else's."""
    one = await origin(answering(counted(b"ok", b"Set-Cookie: session=of-the-first")))
    async with world(one, routes(one.port)) as proxied:
        query = b"?key=sk-mine&a=1;access_token=sk-mine;api_key=sk-mine&%6bey=sk-mine&b=2"
        assert (await proxied.ask(b"GET /k/x" + query, *OWN, b"Proxy-Authorization: Bearer sk-mine")).status == 200
        keyed = proxied.received[0]
        assert b"sk-mine" not in one.connections[0].raw
        assert keyed.target == b"/x?a=1&b=2"
        assert keyed.all(b"authorization") == [b"Bearer " + CANARY.encode()]
        assert not [name for name in (b"x-api-key", b"api-key", b"x-goog-api-key") if keyed.all(name)]
        assert (await proxied.ask(b"GET /n/x" + query, *OWN)).status == 200
        plain = proxied.received[1]
        assert plain.target == b"/x" + query
        assert [line for line in (b"%b: %b" % entry for entry in plain.fields) if line in OWN] == list(OWN)
        await proxied.ask(b"GET /n/x")
        assert proxied.received[2].all(b"cookie") == []


@pytest.mark.parametrize("status", [b"301 Moved Permanently", b"302 Found", b"307 Temporary Redirect"])
async def test_redirects_are_told_and_never_followed(origin: MakeOrigin, status: bytes):
    """SEC-29: a client that follows carries the key to wherever the upstream points; we carry it nowhere else."""
    elsewhere = await origin(answering())
    there = b"http://127.0.0.1:%d/x" % elsewhere.port
    one = await origin([request, counted(b"", b"Location: " + there, status=status)])
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.ask(b"GET /k/x")
        assert (answer.status // 100, answer.get(b"location")) == (3, there)
        assert not elsewhere.connections
    home = await origin([])
    home_location = b"http://127.0.0.1:%d/y?a" % home.port
    home._scripts = [[whole_request, counted(b"", b"Location: " + home_location, status=status)]]
    async with world(home, routes(home.port)) as proxied:
        assert (await proxied.ask(b"GET /k/x")).get(b"location") == b"http://localhost/k/y?a"


@pytest.mark.parametrize(
    ("source", "environ"),
    [
        (CANARY, {}),
        ("${KEY:-" + CANARY + "}", {}),
        ("${KEY}", {}),
        ("${KEY}", {"KEY": ""}),
        ("${KEY}", {"KEY": CANARY + "\r\nX-Injected: 1"}),
        ("${KEY}", {"KEY": " " + CANARY}),
        ("a ${KEY}", {"KEY": CANARY}),
        ("${file:FILE}", {}),
    ],
    ids=["literal", "default", "unset", "empty", "CR", "blank", "more beside it", "readable by all"],
)
def test_a_key_that_is_no_secret_stops_the_start(tmp_path: Path, source: str, environ: dict[str, str]):
    """SEC-30: keys in files that are committed, in files that all may read, or that would break a head."""
    file = tmp_path / "key"
    file.write_text(CANARY)
    file.chmod(0o644)
    text = f"routes:\n- preset: openai\n  api_key: '{source.replace('FILE', str(file))}'\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text, "proxy.yaml", environ)
    assert str(caught.value).startswith("proxy.yaml:3:12: routes[0].api_key: expected ")
    assert CANARY not in str(caught.value)
    if "FILE" in source:
        file.chmod(0o640)
        assert load_text(text, "proxy.yaml", environ).routes[0].api_key.reveal() == CANARY


async def test_a_key_that_is_echoed_reaches_the_client_and_no_log(
    origin: MakeOrigin, launch: Callable[..., Command], tmp_path: Path
):
    """SEC-32: bodies are passed on byte by byte, also those of a service that echoes; logs are not bodies."""

    async def echo(connection: Connection) -> None:
        await connection.until(lambda: bool(connection.requests), "a request", 20)
        connection.send(counted(connection.raw, b"X-Echo: " + CANARY.encode()))

    one = await origin([echo])
    (tmp_path / "proxy.yaml").write_text(f"listen: 127.0.0.1:0\nadmin: off\n{routes(one.port)}")
    command = launch("serve", "-c", str(tmp_path / "proxy.yaml"), "--log-level", "debug", environ=ENVIRON)
    client = await connect(int((await command.wait_url()).rpartition(":")[2]))
    assert CANARY.encode() in (await client.ask_for_answer(b"/k/x")).body
    client.close()
    await client.wait_gone()
    await command.wait_lines("outcome=complete", 1)
    assert found(command.stderr) == []


async def test_errors_name_the_route_and_the_next_step_and_nothing_of_the_network(origin: MakeOrigin):
    """What an error says to anybody: no address, no path of a file, no trace, and nothing of what was sent."""
    closed = await origin([fin])
    await closed.close()
    async with world(closed, routes(closed.port)) as proxied:
        answer = await proxied.ask(b"GET /k/<script>", b"X-A: <script>")
        assert code(answer) == (502, "connection_refused")
        said = answer.body.decode()
        assert "Route 'k'" in said
        for secret in ("127.0.0.1", str(closed.port), "script", "Traceback", CANARY):
            assert secret not in said
        assert answer.get(b"content-type") == b"application/json"
