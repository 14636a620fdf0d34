"""The package clients people use, each with a home of its own and the world as its only index."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from releaser.rehearsal.world import World
from tests.e2e.commands import environment, run


class Pip:
    """A fresh virtual environment in *folder*."""

    def __init__(self, world: World, folder: Path) -> None:
        self._folder = folder
        self._given = environment(folder / "home", {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1"})
        self._index = f"{world.pypi.url}/simple/"
        run(sys.executable, "-m", "venv", str(folder / "venv"), folder=folder, given=self._given)

    def install(self, requirement: str, *options: str) -> None:
        command = ("install", "--isolated", "--index-url", self._index, *options, requirement)
        self.python("-m", "pip", *command)

    def python(self, *arguments: str) -> str:
        return run(str(self._folder / "venv" / "bin" / "python"), *arguments, folder=self._folder, given=self._given)


def rustup_home() -> str:
    """Where rustup keeps its toolchains, which a home of its own would hide."""
    return os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup")


class Cargo:
    """A new program in *folder* that knows the world's registry as ``rehearsal``."""

    def __init__(self, world: World, folder: Path) -> None:
        more = {
            "CARGO_HOME": str(folder / "cargo-home"),
            "CARGO_REGISTRIES_REHEARSAL_INDEX": world.crates.index,
            "RUSTUP_HOME": rustup_home(),
        }
        self._given = environment(folder / "home", more)
        self._folder = folder / "program"
        self._run("new", "--quiet", "--vcs", "none", "--name", "program", str(self._folder), folder=folder)

    def add(self, requirement: str) -> None:
        self._run("add", "--quiet", "--registry", "rehearsal", requirement, folder=self._folder)

    def prints(self, body: str) -> str:
        """What the program prints with *body* as its ``main``."""
        (self._folder / "src" / "main.rs").write_text(f"fn main() {{ {body} }}\n")
        self._run("build", "--quiet", folder=self._folder)
        return run(str(self._folder / "target" / "debug" / "program"), folder=self._folder, given=self._given)

    def checksum(self, crate: str) -> str:
        """What cargo locked *crate* at, by the archive it downloaded."""
        lock = (self._folder / "Cargo.lock").read_text()
        found = re.search(rf'name = "{crate}"\n.*\n.*\nchecksum = "(\w+)"', lock)
        return found[1] if found else ""

    def _run(self, *arguments: str, folder: Path) -> None:
        run("cargo", *arguments, folder=folder, given=self._given)


class Npm:
    """An empty project in *folder*."""

    def __init__(self, world: World, folder: Path) -> None:
        self._folder = folder
        self._given = environment(
            folder / "home",
            {
                "npm_config_registry": world.npm.url,
                "npm_config_cache": str(folder / "cache"),
                "npm_config_globalconfig": str(folder / "global"),
                "npm_config_audit": "false",
                "npm_config_update_notifier": "false",
            },
        )

    def install(self, package: str) -> None:
        run("npm", "install", package, folder=self._folder, given=self._given)

    def node(self, script: str) -> str:
        return run("node", "--eval", script, folder=self._folder, given=self._given)


class Git:
    """git without anybody's configuration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        more: Mapping[str, str] = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        self._given = environment(folder / "home", more)

    def clone(self, url: str, *options: str) -> Path:
        """A fresh copy of *url*."""
        run("git", "clone", "--quiet", *options, url, "clone", folder=self._folder, given=self._given)
        return self._folder / "clone"


def cask_digests(cask: str) -> Sequence[str]:
    """Every sha256 that a cask names."""
    return re.findall(r'"([0-9a-f]{64})"', cask)
