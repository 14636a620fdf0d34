"""The ledger in the repository that it is about: a chain of commits on ``refs/releaser/ledger/TAG``.

Each commit's message holds the lines that were added together; its parent holds those before. Moving the reference
without force is the compare-and-swap between runs, wherever they run: GitHub takes an update only for a descendant
of what is there (REST reference, git/refs: update a reference). Read it without `releaser` by
``git fetch origin refs/releaser/ledger/TAG && git log --reverse FETCH_HEAD``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from releaser.adapters.github_errors import unreadable
from releaser.adapters.github_refs import WRITE, Commit, Refs
from releaser.adapters.github_rest import Rest
from releaser.errors import ConfigError, ExternalError

if TYPE_CHECKING:
    import httpx


class ForgeStore:
    """The ledger of the release of *tag* at GitHub. ``sleep`` takes seconds; ``transport`` replaces the network.

    Raises ConfigError ``ledger-unwritable`` for a token that may not write, ``ledger-broken`` for a reference to
    something else, and ExternalError ``forge-…``.
    """

    def __init__(
        self,
        repository: str,
        token: str,
        api_url: str,
        tag: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = f"{repository} refs/releaser/ledger/{tag}"
        self._rest = Rest(repository, token, api_url, sleep=sleep, transport=transport)
        self._refs = Refs(self._rest)
        self._tag = tag
        self._ref = f"releaser/ledger/{tag}"
        self._ends: dict[int, tuple[str, str]] = {}
        """By the number of lines up to its end, each commit that was read or added, and its tree."""
        self._known = -1

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    @property
    def head(self) -> str:
        """The newest commit that was read or added, empty without one."""
        return self._ends[self._known][0] if self._known in self._ends else ""

    def read(self) -> Sequence[bytes]:
        """Every line, oldest first; what is no record is a line too, for whoever verifies the chain."""
        lines: list[bytes] = []
        ends = {}
        for commit in reversed(list(self._chain())):
            lines += _lines(commit)
            ends[len(lines)] = commit.sha, commit.commit.tree.sha
        self._ends, self._known = ends, len(lines)
        return lines

    def extend(self, after: int, lines: Sequence[bytes]) -> bool:
        """Add one commit and move the reference to it: two requests, three for the first of a ledger."""
        if self._known < 0:
            self.read()
        if after != self._known:
            return False
        parent, tree = self._ends.get(after, (None, ""))
        try:
            tree = tree or self._refs.latest().commit.tree.sha
            body = {"message": self._message(after, lines), "tree": tree, "parents": [parent] if parent else []}
            commit = self._refs.store("commits", body)
            if not self._refs.move(self._ref, parent, commit):
                return False
        except ExternalError as error:
            if error.code != "forge-forbidden":
                raise
            raise ConfigError(
                "ledger-unwritable",
                "the ledger cannot be written",
                object=self.name,
                found=error.found,
                wanted=WRITE,
                hint=f"give the token of the job `{WRITE}`, or keep the ledger elsewhere with --ledger",
            ) from error
        self._known += len(lines)
        self._ends[self._known] = commit, tree
        return True

    def _message(self, after: int, lines: Sequence[bytes]) -> str:
        last = after + len(lines) - 1
        which = f"record {after}" if last == after else f"records {after} to {last}"
        return f"releaser ledger of {self._tag}: {which}\n\n{b''.join(lines).decode()}".rstrip("\n")

    def _chain(self) -> Iterator[Commit]:
        """The commits of the ledger, newest first, down to the root or to one that is none of ours."""
        ref = self._refs.find(self._ref)
        if ref is None:
            return
        if ref.object.type != "commit":
            raise ConfigError(
                "ledger-broken",
                "the ledger's reference leads to no commit",
                object=self.name,
                found=ref.object.type,
                wanted="commit",
                hint="keep what it leads to as evidence and delete it; the next run reads the world",
            )
        wanted = ref.object.sha
        for commit in self._refs.history(wanted):
            if commit.sha != wanted:
                raise unreadable(f"commit {commit.sha} before {wanted}")
            yield commit
            ours = all(line.startswith(b"{") for line in _lines(commit))
            if len(commit.parents) != 1 or not ours:
                return
            wanted = commit.parents[0].sha
        raise unreadable(f"no commit {wanted}")


def _lines(commit: Commit) -> list[bytes]:
    """What a commit adds: the lines behind its subject, or the subject where there is nothing else."""
    subject, _, body = commit.commit.message.partition("\n\n")
    text = (body or subject).rstrip("\n")
    return [f"{line}\n".encode(errors="backslashreplace") for line in text.split("\n")]
