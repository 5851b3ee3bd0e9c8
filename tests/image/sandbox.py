"""Runs commands of an image as an engine would under `docker run --read-only --cap-drop ALL`, by bubblewrap.

The image's user and variables, process 1 of its own, no capabilities, every file system read-only but /dev; besides, no
shell can be started. The network is this machine's, as a sidecar's is its pod's.
"""

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.image.build import Image

CONFIGURATION = "/etc/streamsafe/proxy.yaml"
SHELLS = ("sh", "dash", "bash", "rbash")
WAIT_LIMIT_S = 30


class Sandbox:
    """The image with a configuration mounted into it."""

    def __init__(self, image: Image, configuration: Path) -> None:
        self._image = image
        self._configuration = configuration
        self._serving: subprocess.Popen[str] | None = None
        self._process = 0
        # An engine makes what it mounts onto, in the container's own layer.
        (image.root / CONFIGURATION[1:]).parent.mkdir(exist_ok=True)
        (image.root / CONFIGURATION[1:]).touch()

    def _words(self, command: list[str], *more: str) -> list[str]:
        root, config = self._image.root, self._image.config
        user, group = config["User"].split(":")
        shells = {path.resolve() for name in SHELLS if (path := root / "usr/bin" / name).exists()}
        masked = [word for path in sorted(shells) for word in ("--ro-bind", "/dev/null", f"/{path.relative_to(root)}")]
        variables = [word for pair in config["Env"] for word in ("--setenv", *pair.split("=", 1))]
        return [
            *("bwrap", "--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--as-pid-1", *more),
            *("--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", *masked),
            *("--ro-bind", str(self._configuration), CONFIGURATION, "--clearenv", *variables, "--chdir", "/"),
            *("/usr/bin/setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"),
            *("--bounding-set=-all", "--inh-caps=-all", "--", *command),
        ]

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command that ends by itself."""
        return subprocess.run(
            self._words(list(command)), capture_output=True, text=True, timeout=WAIT_LIMIT_S, check=False
        )

    def health(self) -> int:
        """What the image's HEALTHCHECK answers."""
        kind, *command = self._image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command).returncode

    def serve(self) -> None:
        """Starts what the image starts."""
        ours, theirs = os.pipe()
        command = [*self._image.config["Entrypoint"], *self._image.config["Cmd"]]
        words = self._words(command, "--info-fd", str(theirs))
        self._serving = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, pass_fds=[theirs])
        os.close(theirs)
        with open(ours) as told:
            self._process = json.load(told)["child-pid"]

    def wait_healthy(self) -> None:
        """Returns once its HEALTHCHECK answers 0. Errors: AssertionError where it has ended."""
        assert self._serving is not None
        while self.health() != 0:
            assert self._serving.poll() is None, self._serving.communicate()[1]

    def signal_stop(self) -> None:
        """Sends the image's stop signal to its process 1."""
        os.kill(self._process, getattr(signal, self._image.config["StopSignal"]))

    def wait_end(self) -> tuple[int, str]:
        """Its exit code and its log, once it has ended."""
        assert self._serving is not None
        _, said = self._serving.communicate(timeout=WAIT_LIMIT_S)
        return self._serving.returncode, said

    def end(self) -> None:
        """Kills it if it still runs."""
        if self._serving is not None and self._serving.poll() is None:
            self._serving.kill()
            self._serving.communicate()
