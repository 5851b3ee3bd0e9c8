"""How commands end that cannot run: the exit code, what is said, and never a traceback."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import run_once

USAGE = "Usage: streamsafe serve [OPTIONS] [UPSTREAM]\nTry 'streamsafe serve --help' for help.\n\nError: "
UPSTREAM = "http://127.0.0.1:1"
ROUTES = f"routes: [{{upstream: '{UPSTREAM}'}}]\n"
SECRET = "sk-proj-0123456789abcdefghij"


def write(home: Path, name: str, text: str) -> None:
    (home / name).write_text(text, "utf-8")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("command", [["serve", UPSTREAM], ["demo"]])
def test_a_port_that_is_taken_is_one_line_and_exit_code_1(tmp_path: Path, taken_port: int, command: list[str]) -> None:
    done = run_once(tmp_path, *command, "--listen", f"127.0.0.1:{taken_port}")
    assert done.returncode == 1
    assert done.stderr == f"streamsafe: cannot listen on 127.0.0.1:{taken_port}: address already in use\n"
    assert done.stdout == ""


def test_an_address_of_another_machine_is_exit_code_1(tmp_path: Path) -> None:
    done = run_once(tmp_path, "serve", UPSTREAM, "--listen", "192.0.2.1:0", "--log-level", "error")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "streamsafe: cannot listen on 192.0.2.1:0: cannot assign requested address\n"


def test_a_name_without_an_address_is_exit_code_1(tmp_path: Path) -> None:
    done = run_once(tmp_path, "serve", UPSTREAM, "--listen", "no-such-host.invalid:0", "--log-level", "error")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("streamsafe: cannot listen on no-such-host.invalid:0: ")
    assert done.stderr.count("\n") == 1


def test_a_unix_socket_that_cannot_be_made_is_exit_code_1(tmp_path: Path) -> None:
    done = run_once(tmp_path, "serve", UPSTREAM, "--listen", f"unix:{tmp_path}/missing/proxy.sock")
    assert done.returncode == 1
    assert (
        done.stderr == f"streamsafe: cannot listen on unix:{tmp_path}/missing/proxy.sock: no such file or directory\n"
    )


def test_one_address_of_several_that_is_taken_ends_it(tmp_path: Path, taken_port: int) -> None:
    write(tmp_path, "proxy.yaml", f"listen: ['127.0.0.1:0', '127.0.0.1:{taken_port}']\n{ROUTES}")
    done = run_once(tmp_path, "serve", "-c", "proxy.yaml")
    assert done.returncode == 1
    assert done.stderr == f"streamsafe: cannot listen on 127.0.0.1:{taken_port}: address already in use\n"


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("missing.yaml", "missing.yaml: expected a readable file, found: no such file or directory"),
        ("folder", "folder: expected a readable file, found: is a directory"),
        ("proxy.yaml/x", "proxy.yaml/x: expected a readable file, found: not a directory"),
        ("latin.yaml", "latin.yaml: expected UTF-8, found something else in line 2"),
        ("empty.yaml", "empty.yaml:1:1: expected a configuration, found nothing"),
        (
            "unset.yaml",
            "unset.yaml:1:33: routes[0].api_key: expected NO_SUCH_NAME in the environment, found it not set",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_2(
    tmp_path: Path, command: str, file: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"name: null\nlisten: \xe9\n")
    write(tmp_path, "proxy.yaml", ROUTES)
    write(tmp_path, "empty.yaml", "# nothing\n")
    write(tmp_path, "unset.yaml", "routes: [{preset: ark, api_key: '${NO_SUCH_NAME}'}]\n")
    done = run_once(tmp_path, command, "-c", file)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{said}\n")


@pytest.mark.parametrize("command", ["serve", "check"])
def test_bad_yaml_is_one_line_with_its_place(tmp_path: Path, command: str) -> None:
    write(tmp_path, "proxy.yaml", "listen: 127.0.0.1:0\nroutes: [{path: /\n")
    done = run_once(tmp_path, command, "-c", "proxy.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("proxy.yaml:3:1: expected ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say where to: UPSTREAM (a URL), --preset or --config. See --help."),
        (["--watch", UPSTREAM], "--watch goes with --config: options do not change."),
        (["-c", "proxy.yaml", UPSTREAM], "Give either UPSTREAM or --config."),
        (["-c", "proxy.yaml", "--cors", "*"], "--cors goes with UPSTREAM; with --config write it there."),
        (["-c", "proxy.yaml", "--header", "a: b"], "--header goes with UPSTREAM; with --config write it there."),
        (["-c", "proxy.yaml", "--preset", "ark"], "--preset goes with UPSTREAM; with --config write it there."),
        (["-c", "proxy.yaml", "--api-key", "env:A"], "--api-key goes with UPSTREAM; with --config write it there."),
        (
            ["-c", "proxy.yaml", "--strip-prefix", "/a"],
            "--strip-prefix goes with UPSTREAM; with --config write it there.",
        ),
        ([UPSTREAM, "--header", "no colon"], "--header: expected 'Name: value'."),
    ],
)
def test_wrong_usage_is_said_with_the_way_to_help(tmp_path: Path, arguments: list[str], said: str) -> None:
    write(tmp_path, "proxy.yaml", ROUTES)
    done = run_once(tmp_path, "serve", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{USAGE}{said}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", UPSTREAM, "--wrong"], "No such option"),
        (["serve", UPSTREAM, "--log", "xml"], "Invalid value for '--log'"),
        (["serve", UPSTREAM, "--log-level", "loud"], "Invalid value for '--log-level'"),
        (["serve", "--preset", "nobody"], "Invalid value for '--preset'"),
        (["serve", UPSTREAM, UPSTREAM], "Got unexpected extra argument"),
        (["check"], "Missing option '-c' / '--config'"),
        (["nothing"], "No such command 'nothing'"),
    ],
)
def test_an_unknown_option_or_word_is_exit_code_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    """These words are the command-line library's own, so only their beginning is held to."""
    done = run_once(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Error: {said}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([UPSTREAM, "--listen", "nowhere"], '--listen: expected HOST:PORT, [v6]:PORT or unix:/path, found "nowhere"'),
        ([UPSTREAM, "--listen", "127.0.0.1:99999"], "--listen: expected HOST:PORT, [v6]:PORT or unix:/path"),
        (["ftp://a"], 'UPSTREAM: expected an http:// or https:// URL with a host, found "ftp://a"'),
        ([UPSTREAM, "--header", "a: ${NO_SUCH_NAME}"], "expected NO_SUCH_NAME in the environment, found it not set"),
        ([UPSTREAM, "--header", "Host: a"], "expected a header that rules may change (Host is not one: preserve_host"),
        ([UPSTREAM, "--api-key", "env:"], "--api-key: expected env:NAME or @FILE, found neither"),
        ([UPSTREAM, "--api-key", "env:NO_SUCH_NAME"], "expected NO_SUCH_NAME in the environment, found it not set"),
        ([UPSTREAM, "--api-key", "@missing"], "/missing, found: no such file or directory"),
        ([UPSTREAM, "--api-key", "@open"], "expected a file that only its owner and group can read"),
        ([UPSTREAM, "--cors", "localhost"], "--cors: expected an origin such as"),
        ([UPSTREAM, "--strip-prefix", "a"], '--strip-prefix: expected a path that begins with /, found "a"'),
        ([UPSTREAM, "--workers", "0"], "--workers: expected a whole number from 1, or auto, found 0"),
        ([UPSTREAM, "--admin", "0.0.0.0:2"], "--admin: expected a loopback address, or admin_token (`${NAME}` or"),
        ([UPSTREAM, "--admin", "127.0.0.1:8787"], "--admin: expected an address of its own, found 127.0.0.1:8787"),
        ([UPSTREAM, "--admin", "9000"], "--admin: expected HOST:PORT, [v6]:PORT or unix:/path"),
        (["--preset", "azure-openai"], "everybody has their own with preset azure-openai"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_option(tmp_path: Path, arguments: list[str], said: str) -> None:
    write(tmp_path, "open", SECRET)
    (tmp_path / "open").chmod(0o644)
    done = run_once(tmp_path, "serve", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("streamsafe: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr


def test_a_key_itself_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path) -> None:
    done = run_once(tmp_path, "serve", UPSTREAM, "--api-key", SECRET)
    expected = "streamsafe: --api-key: expected env:NAME or @FILE, found neither (others would see a key)\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_key_itself_in_a_file_is_refused_and_not_repeated(tmp_path: Path, command: str) -> None:
    write(tmp_path, "proxy.yaml", f"routes:\n  - preset: openai\n    api_key: {SECRET}\n")
    done = run_once(tmp_path, command, "-c", "proxy.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "proxy.yaml:3:14: routes[0].api_key: expected ${NAME} or ${file:/path}, found a literal"
    )
    assert SECRET not in done.stderr


@pytest.mark.parametrize("kind", ["missing", "folder", "garbage", "other"])
def test_a_tls_file_that_is_not_usable_is_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path, "garbage", "no certificate\n")
    write(tmp_path, "other", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    write(tmp_path, "proxy.yaml", f"listen: 127.0.0.1:0\ntls: {{cert: {kind}, key: {kind}}}\n{ROUTES}")
    done = run_once(tmp_path, "serve", "-c", "proxy.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("streamsafe: ")
    assert done.stderr.count("\n") == 1
    assert kind in done.stderr
