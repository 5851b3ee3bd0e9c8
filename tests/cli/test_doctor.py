"""`streamsafe doctor` as people run it: exit codes, what goes where, what is refused, and what never shows."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.doctor.planted import CLOSING, END, HEAD, Step, chunk, chunked, event, head, server, serving

from .command import COMMAND, Command, run_once

KEY = "sk-proj-0123456789abcdefghij"
HEALTHY = chunked(*map(event, range(5)))


async def doctor(
    home: Path, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run_once, home, "doctor", *arguments, environ=environ)


@pytest.mark.parametrize(
    ("script", "code", "verdict"),
    [
        (HEALTHY, 0, "It streams."),
        (
            [HEAD, chunk(event(1)), END],
            0,
            "No fault found, but this answer cannot show whether it streams: it has a single",
        ),
        ([HEAD, 1.1, chunk(b"".join(map(event, range(9)))), END], 3, "It does not stream as it should."),
        ([], 1, "There is no answer to judge."),
    ],
)
async def test_the_verdict_stands_first_and_is_the_exit_code(
    tmp_path: Path, script: list[Step], code: int, verdict: str
) -> None:
    async with server(script) as port:
        done = await doctor(tmp_path, f"http://127.0.0.1:{port}/")
    assert done.returncode == code
    assert done.stdout.startswith(verdict)
    assert done.stderr == ""


async def test_json_is_one_document_on_stdout(tmp_path: Path) -> None:
    async with server(HEALTHY) as port:
        url = f"http://127.0.0.1:{port}/"
        done = await doctor(tmp_path, url, "--direct", url, "--format", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"], told["findings"], done.stderr) == (0, "streams", [], "")
    for answer in (told["answer"], told["direct"]):
        assert (answer["status"], answer["end"], len(answer["events"])) == (200, "complete", 5)
        moments = [at_s for at_s, _ in answer["events"]]
        assert 0.1 <= moments[-1] - moments[0] < 1


async def test_what_is_asked_goes_out_as_told(tmp_path: Path) -> None:
    (tmp_path / "ask.json").write_text('{"stream": true}')
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(16))
        writer.write(CLOSING + event(1))
        writer.close()

    async with serving(serve) as port:
        header = ["--header", "Authorization: Bearer ${KEY}", "--header", "accept: */*"]
        url = f"http://127.0.0.1:{port}/v1/chat?x=a%2Fb#part"
        done = await doctor(tmp_path, url, "--json", "ask.json", *header, environ={"KEY": KEY})
    assert done.returncode == 0, done.stdout
    lines = asked[0].split(b"\r\n")
    assert lines[0] == b"POST /v1/chat?x=a%2Fb HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}".encode() in lines
    assert f"Authorization: Bearer {KEY}".encode() in lines
    assert [line for line in lines if line.lower().startswith(b"accept:")] == [b"accept: */*"]
    assert b"Accept-Encoding: gzip, deflate, br, zstd" in lines
    assert b"Content-Type: application/json" in lines
    assert b"Content-Length: 16" in lines
    assert lines[-1] == b'{"stream": true}'


@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_secret_is_shown_even_if_the_server_repeats_it(tmp_path: Path, form: str) -> None:
    said = json.dumps({"error": {"code": "invalid_api_key", "message": f"wrong key: {KEY} \x1b[2J"}}).encode()
    lines = [f"X-Echo: {KEY}", f"Set-Cookie: session={KEY}", "Content-Type: application/json", "X-Control: a\x9bb"]
    async with server([head(*lines, f"Content-Length: {len(said)}"), said]) as port:
        url = f"http://127.0.0.1:{port}/?api_key={KEY}"
        header = ["--header", "x-api-key: ${KEY}", "--header", "Authorization: Bearer ${KEY}"]
        done = await doctor(tmp_path, url, "--direct", url, *header, "--format", form, environ={"KEY": KEY})
    assert done.returncode == 3
    assert "auth-error-in-200" in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert "api_key=…" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'URL'"),
        (["ftp://a/"], "URL: expected an http:// or https:// URL"),
        (["localhost:80"], "URL: expected an http:// or https:// URL"),
        (["http://a:99999/"], "URL: expected an http:// or https:// URL"),
        (["http://u:pw-secret@a/"], "a password in a URL is seen by others"),
        (["http://a/x y"], "URL: expected an http:// or https:// URL"),
        (["http://a/", "--direct", "b"], "--direct: expected an http:// or https:// URL"),
        (["http://a/", "--origin", "http://b/path"], "--origin: expected an origin"),
        (["http://a/", "--timeout", "soon"], "--timeout: expected a duration"),
        (["http://a/", "--timeout", "0"], "--timeout: expected a duration"),
        (["http://a/", "--header", "no colon"], "--header: expected 'Name: value'"),
        (["http://a/", "--header", "a: b\r\nc: d"], "--header: expected 'Name: value'"),
        (["http://a/", "--header", "a: ${NOT_SET}"], "expected NOT_SET in the environment, found it not set"),
        (["http://a/", "--method", "GE T"], "--method: expected a method"),
        (["http://a/", "--json", "missing.json"], "--json: missing.json: No such file"),
        (["http://a/", "--json", "bad.json"], "--json: bad.json:2:3: no JSON"),
        (["http://a/", "--format", "xml"], "--format"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "bad.json").write_text("{\n  x}")
    done = run_once(tmp_path, "doctor", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert "pw-secret" not in done.stderr


async def test_on_a_terminal_a_timeline_moves_and_stdout_stays_clean(tmp_path: Path) -> None:
    """On stderr, and gone at the end; nothing of it is among the data."""
    ours, theirs = pty.openpty()
    try:
        async with server([HEAD, *(step for n in range(4) for step in (chunk(event(n)), 0.2)), END]) as port:
            command = [*COMMAND, "doctor", f"http://127.0.0.1:{port}/"]
            environ = {"PATH": os.environ["PATH"], "TERM": "xterm"}
            run = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=theirs, env=environ, cwd=tmp_path
            )
            stdout, _ = await asyncio.wait_for(run.communicate(), 15)
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert stdout.decode().startswith("It streams.")
    assert b"\x1b" not in stdout
    assert "about 1 events" in shown
    assert "about 3 events" in shown


async def test_ctrl_c_ends_the_watching_and_judges_what_is_there(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for number in range(1000):
            writer.write(chunk(event(number)))
            if number == 10:
                arrived.set()
            await asyncio.sleep(0.03)

    async with serving(serve) as port:
        command = Command(tmp_path, ("doctor", f"http://127.0.0.1:{port}/"), {})
        try:
            async with asyncio.timeout(15):
                await arrived.wait()
            command.signal(signal.SIGINT)
            assert await command.wait_end(5) == 0
        finally:
            command.end()
    assert command.stdout.startswith("It streams.")
    assert "unended" in command.stdout


async def test_the_time_is_a_bound(tmp_path: Path) -> None:
    async with server([HEAD, *(step for n in range(200) for step in (chunk(event(n)), 0.05))]) as port:
        done = await doctor(tmp_path, f"http://127.0.0.1:{port}/", "--timeout", "500ms")
    assert done.returncode == 0
    assert re.search(r"had not ended after 5\d\d ms", done.stdout)
