"""Builds the image without an engine: buildah, in a chroot, from the Dockerfile as it is.

Its base is looked for under the name that the Dockerfile says, and is Debian's Python of the same version, which
debootstrap makes: no registry of images takes part. The base is kept in `build/`; what is built goes with the run.
"""

import ast
import configparser
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "image"
RELEASE = "trixie"
"""The release of Debian whose Python is the Dockerfile's."""


def run(*words: str | Path, within_s: float = 300) -> str:
    """What a command says on stdout. Errors: AssertionError with all that it said, where it fails."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=within_s, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Image:
    """An image, unpacked into a folder, with what it says about how it runs."""

    root: Path
    config: dict[str, Any]

    def files(self) -> dict[str, Path]:
        """Everything in it but folders, by its path in the image."""
        found = (Path(folder) / name for folder, _, names in os.walk(self.root) for name in names)
        return {f"/{path.relative_to(self.root)}": path for path in found}


class Builder:
    """A store of images in a folder of its own, which ends with `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._containers: list[str] = []

    def _buildah(self, *words: str | Path) -> str:
        store = ("--root", self._folder / "store", "--runroot", self._folder / "run", "--storage-driver", "vfs")
        return run("buildah", *store, *words).strip()

    def base(self, name: str) -> None:
        """Puts the base into the store under this name. Takes half a minute the first time."""
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, base_folder(), "/")
        self._buildah("commit", "--quiet", "--rm", container, f"docker.io/library/{name}")

    def build(self, tag: str) -> None:
        """Builds the Dockerfile. pip in it is set up like pip here, by files that are mounted for the build alone."""
        settings, paths = pip_configuration()
        file = self._folder / "pip.conf"
        file.write_text(settings)
        mounts = [f"{file}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in paths)]
        volumes = [word for mount in mounts for word in ("--volume", mount)]
        how = ("--isolation", "chroot", "--pull-never", "--format", "docker")
        self._buildah("bud", *how, *volumes, "--tag", tag, ROOT)

    def open(self, name: str) -> Image:
        """The image of this name."""
        container = self._buildah("from", "--pull-never", name)
        self._containers.append(container)
        config = json.loads(self._buildah("inspect", "--type", "image", name))["Docker"]["config"]
        return Image(Path(self._buildah("mount", container)), config)

    def close(self) -> None:
        """Removes every image and container of it."""
        for container in self._containers:
            self._buildah("umount", container)
            self._buildah("rm", container)
        self._buildah("rmi", "--all", "--force")


def base_folder() -> Path:
    """A small Debian with Python, made by debootstrap from where this machine has its own packages."""
    folder = KEPT / RELEASE
    if not folder.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        packages = "--include=python3,python3-venv,ca-certificates"
        run("debootstrap", "--variant=minbase", packages, RELEASE, half, *_mirror(), within_s=580)
        for name in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(half / name)
        (half / "usr/local/bin/python").symlink_to("/usr/bin/python3")  # the name it has in Docker's own base
        half.rename(folder)
    return folder


def _mirror() -> list[str]:
    """Where this machine gets Debian from; nothing leaves the choice to debootstrap."""
    sites = run("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Label: Debian").split()
    return sites[:1]


def pip_configuration() -> tuple[str, list[Path]]:
    """How pip is set up here, as a file, and the paths of this machine that it leads to."""
    made = configparser.RawConfigParser()
    paths: set[Path] = set()
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        match = re.fullmatch(r"([\w-]+|:env:)\.([\w-]+)=(.*)", line)
        assert match, line
        section, key, value = match[1].replace(":env:", "global"), match[2], ast.literal_eval(match[3])
        if not made.has_section(section):
            made.add_section(section)
        made.set(section, key, "\n".join(value.split()))
        for word in value.split():
            path = Path(word.removeprefix("file://"))
            if path.is_absolute() and path.exists():
                # The pages of a local index lead to files beside them.
                paths.add(path.parent if key.endswith("index-url") else path)
    text = io.StringIO()
    made.write(text)
    return text.getvalue(), sorted(paths)
