"""The package clients people use, each with a home of its own and the world as its only index."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from releaser.rehearsal.world import World
from tests.e2e.commands import environment, failing, run

NO_JOB: Mapping[str, str] = {}
SOMEBODY = {"NAME": "Somebody", "EMAIL": "somebody@example.invalid"}


class Pip:
    """A fresh virtual environment in *folder*, into which our own pip installs."""

    def __init__(self, world: World, folder: Path) -> None:
        self._folder = folder
        self._given = environment(folder / "home", {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1"})
        self._index = f"{world.pypi.url}/simple/"
        self._python = str(folder / "venv" / "bin" / "python")
        run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"), folder=folder, given=self._given)

    def install(self, requirement: str, *options: str) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self._python, "install", "--isolated")
        run(*pip, "--index-url", self._index, *options, requirement, folder=self._folder, given=self._given)

    def python(self, *arguments: str) -> str:
        return run(self._python, *arguments, folder=self._folder, given=self._given)


def rustup_home() -> str:
    """Where rustup keeps its toolchains, which a home of its own would hide."""
    return os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup")


class Cargo:
    """A new program in *folder* that knows the registry at *index* as ``rehearsal``, and publishes with *token*."""

    def __init__(self, index: str, folder: Path, token: str = "") -> None:
        more = {
            "CARGO_HOME": str(folder / "cargo-home"),
            "CARGO_REGISTRIES_REHEARSAL_INDEX": index,
            "RUSTUP_HOME": rustup_home(),
            **({"CARGO_REGISTRIES_REHEARSAL_TOKEN": token} if token else {}),
        }
        self._given = environment(folder / "home", more)
        self.folder = folder / "program"
        run(
            "cargo",
            "new",
            "--quiet",
            "--vcs",
            "none",
            "--name",
            "program",
            str(self.folder),
            folder=folder,
            given=self._given,
        )

    def add(self, requirement: str) -> None:
        self.run("add", "--quiet", "--registry", "rehearsal", requirement)

    def prints(self, body: str) -> str:
        """What the program prints with *body* as its ``main``."""
        (self.folder / "src" / "main.rs").write_text(f"fn main() {{ {body} }}\n")
        self.run("build", "--quiet")
        return run(str(self.folder / "target" / "debug" / "program"), folder=self.folder, given=self._given)

    def checksum(self, crate: str) -> str:
        """What cargo locked *crate* at, by the archive it downloaded."""
        lock = (self.folder / "Cargo.lock").read_text()
        found = re.search(rf'name = "{crate}"\n.*\n.*\nchecksum = "(\w+)"', lock)
        return found[1] if found else ""

    def run(self, *arguments: str) -> str:
        """What cargo prints when it succeeds."""
        return run("cargo", *arguments, folder=self.folder, given=self._given)

    def fails(self, *arguments: str) -> str:
        """What cargo complains of; fails the test when it succeeds."""
        return failing("cargo", *arguments, folder=self.folder, given=self._given)


class Npm:
    """An empty project in *folder* that knows the registry at *url*; *token* is what it publishes with."""

    def __init__(self, url: str, folder: Path, token: str = "", job: Mapping[str, str] = NO_JOB) -> None:
        self._folder = folder
        self._given = environment(
            folder / "home",
            {
                "npm_config_registry": url,
                "npm_config_cache": str(folder / "cache"),
                "npm_config_globalconfig": str(folder / "global"),
                "npm_config_audit": "false",
                "npm_config_update_notifier": "false",
                "npm_config_fetch_retries": "0",
                **job,
            },
        )
        address = url.removeprefix("http:")
        (folder / "home" / ".npmrc").write_text(f"{address}/:_authToken={token}\n" if token else "")

    def install(self, package: str) -> None:
        self.run("install", package)

    def run(self, *arguments: str) -> str:
        """What npm prints when it succeeds."""
        return run("npm", *arguments, folder=self._folder, given=self._given)

    def fails(self, *arguments: str) -> str:
        """What npm complains of; fails the test when it succeeds."""
        return failing("npm", *arguments, folder=self._folder, given=self._given)

    def node(self, script: str) -> str:
        return run("node", "--eval", script, folder=self._folder, given=self._given)


class Git:
    """git without anybody's configuration, as Somebody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in SOMEBODY.items()}
        more: Mapping[str, str] = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", **who}
        self._given = environment(folder / "home", more)

    def clone(self, url: str, *options: str) -> Path:
        """A fresh copy of *url*."""
        self.run("clone", "--quiet", *options, url, "clone")
        return self._folder / "clone"

    def run(self, *arguments: str) -> str:
        """What git prints when it succeeds."""
        return run("git", *arguments, folder=self._folder, given=self._given)

    def fails(self, *arguments: str) -> str:
        """What git complains of; fails the test when it succeeds."""
        return failing("git", *arguments, folder=self._folder, given=self._given)


def cask_digests(cask: str) -> Sequence[str]:
    """Every sha256 that a cask names."""
    return re.findall(r'"([0-9a-f]{64})"', cask)
