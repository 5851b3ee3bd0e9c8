"""The unit for systemd: it reads it without a word, finds it closed enough, and it fits what is served."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, configuration

UNIT = DEPLOY / "systemd" / "streamsafe.service"
CONFIGURATION = (DEPLOY / "systemd" / "proxy.yaml").read_text("utf-8")
INSTALLED = "/opt/streamsafe/bin/streamsafe"
MOST_EXPOSURE = 15
"""In tenths of systemd's scale, on which 100 is a program that may do everything; the network is most of it."""

asks_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the command where it is here."""
    text = UNIT.read_text("utf-8")
    assert INSTALLED in text
    here = Path(sysconfig.get_path("scripts")) / "streamsafe"
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(INSTALLED, str(here)))
    return copy


def analyze(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


@asks_systemd
def test_systemd_reads_it_without_a_word(unit: Path) -> None:
    assert analyze("verify", "--man=no", unit) == (0, "")


@asks_systemd
@pytest.mark.parametrize(
    ("wrong", "said"),
    [("Typ=exec", "Unknown key"), ("KillMode=mixd", "Failed to parse"), ("ExecStartPre=/none", "/none")],
)
def test_systemd_would_notice(unit: Path, wrong: str, said: str) -> None:
    """What the test above rests on."""
    unit.write_text(unit.read_text("utf-8").replace("[Service]", f"[Service]\n{wrong}"))
    assert said in analyze("verify", "--man=no", unit)[1]


@asks_systemd
def test_systemd_finds_it_closed_enough(unit: Path) -> None:
    code, said = analyze("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSURE}", unit)
    assert code == 0, said


def test_it_serves_a_configuration_that_loads_and_waits_for_its_drain() -> None:
    config = configuration(CONFIGURATION)
    assert values("ExecStart") == [f"{INSTALLED} serve -c /etc/streamsafe/proxy.yaml"]
    assert int(values("TimeoutStopSec")[0]) > config.drain
    assert values("KillMode") == ["mixed"], "a worker that is signalled by systemd would be signalled twice"


def test_every_secret_it_reads_is_a_credential() -> None:
    read = re.findall(r"\$\{file:/run/credentials/streamsafe\.service/([^}]*)\}", CONFIGURATION)
    assert read
    assert read == [line.partition(":")[0] for line in values("LoadCredential")]
    assert CONFIGURATION.count("${") == len(read)


def test_a_reload_is_a_hangup_and_a_wrong_configuration_is_not_tried_again() -> None:
    assert values("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert values("RestartPreventExitStatus") == ["2"], "the exit code for a wrong configuration"
