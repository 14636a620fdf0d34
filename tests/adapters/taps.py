"""A release to be delivered, and a rehearsal with one repository that package managers read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releaser.adapters.github_tap import GitHubTap
from releaser.adapters.tap_item import TapItem
from releaser.engine.ports import Dispatcher
from releaser.model.artifact import Artifact, Kind
from releaser.model.document import Sha256
from releaser.model.manifest import Manifest, PolicyRef, RepositoryRef, TagRef
from releaser.rehearsal.github import GitHub as Rehearsal
from releaser.rehearsal.gitrepo import BareRepository, Person
from releaser.rehearsal.server import Faults, Journal

BASE = "https://forge.example.invalid"
TAP = "acme/homebrew-tap"
AUTHOR = Person("Ana", "ana@example.invalid", "2026-01-02T03:04:05Z")


def manifest(
    assets: dict[str, str], version: str = "1.2.3", tag: str = "v{version}", repository: str = "acme/Tool"
) -> Manifest:
    """A release whose files are those of *assets*; archives by their suffix."""
    tag = tag.replace("{version}", version)
    names = sorted({a.replace("{version}", version).replace("{tag}", tag) for a in assets.values()})
    return Manifest(
        repository=RepositoryRef(name=repository, id=1),
        tag=TagRef(name=tag, object="a" * 40, commit="a" * 40),
        version=version,
        channel="stable",
        policy=PolicyRef(path="releaser.toml", digest=Sha256("sha256:" + "0" * 64)),
        artifacts=tuple(artifact(name, f"{number:x}" * 64) for number, name in enumerate(names, 1)),
        publications=(),
        downstream=(),
    )


def artifact(name: str, sha256: str = "f" * 64, kind: Kind | None = None) -> Artifact:
    found = kind or (Kind.ARCHIVE if name.endswith((".tar.gz", ".zip")) else Kind.FILE)
    return Artifact(name=name, kind=found, group="binaries", size=1, sha256=sha256)


def some(assets: dict[str, str], *platforms: str) -> dict[str, str]:
    return {p: a for p, a in assets.items() if p in platforms}


def with_artifacts(*artifacts: Artifact) -> Manifest:
    return manifest({}).model_copy(update={"artifacts": artifacts})


@dataclass
class Taps:
    """A rehearsal with one repository, and the dispatchers that feed it."""

    server: Rehearsal
    tap: GitHubTap

    @property
    def git(self) -> BareRepository:
        return self.server.repository(TAP).git

    def write(self, path: str, content: bytes) -> None:
        tip = self.git.ref("refs/heads/main")
        tree = self.git.write_tree(tip.sha if tip else None, [(path, "100644", self.git.write_blob(content))])
        commit = self.git.write_commit(tree, [tip.sha] if tip else [], "by hand", AUTHOR, AUTHOR)
        assert self.git.move("refs/heads/main", commit, tip.sha if tip else None)

    def read(self, path: str, branch: str = "main") -> bytes | None:
        commit = self.git.commit_of(f"refs/heads/{branch}")
        found = self.git.entry(commit, path) if commit else None
        return self.git.blob(found.sha) if found else None

    def commits(self) -> int:
        tip = self.git.commit_of("refs/heads/main")
        return len(self.git.log(None, tip, 100)) if tip else 0

    def of(self, kind: type[TapItem[Any]]) -> Dispatcher:
        """The dispatcher of *kind*, which may open this repository alone."""
        return kind(self._open, BASE)

    def _open(self, repository: str) -> GitHubTap:
        assert repository == TAP
        return self.tap


@contextmanager
def up(root: Path) -> Iterator[Taps]:
    """A rehearsal below *root*, its repository, and an account that may write there."""
    server = Rehearsal(root / "github", Journal(), Faults())
    token = server.add_user("tap-bot", 21)
    server.add_repository(TAP, 7, 70)
    server.grant("tap-bot", TAP, "write")
    server.start()
    tap = GitHubTap(TAP, token, server.url, sleep=lambda _: None)
    taps = Taps(server, tap)
    taps.write("README.md", b"a tap\n")
    yield taps
    tap.close()
    server.stop()
