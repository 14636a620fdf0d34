"""References of a repository on GitHub and the commits that they name: branches, tags, and some of our own.

GitHub takes every reference that starts with ``refs`` and has two slashes (REST reference, git/refs: create a
reference) and lists "anything in the namespace … not just heads and tags" (list matching references). Commits that
name neither author nor committer are by the caller, now (git/commits: create a commit), and those of an app are then
signed by GitHub (about commit signature verification: for bots). A message is kept as it was sent, but for line ends
at its own end, which are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from releaser.adapters.github_errors import mapping, unreadable
from releaser.adapters.github_rest import Rest, Shape, shaped
from releaser.errors import ConfigError

READ, WRITE = "contents: read", "contents: write"
ELSEWHERE = frozenset({"Reference already exists", "Reference does not exist", "Update is not a fast forward"})
"""How GitHub says that a reference is not where it was thought to be. Reading it right after may show an older state
(rust-lang/homu#75), so the words count."""
_NO_NAME = re.compile(r"[\0-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|(^|/)\.|\.lock(/|$)|[./]$|^/")


class Object(Shape):
    """A thing in the git database; ``type`` is ``commit``, or ``tag`` for an annotated tag."""

    sha: str
    type: str = "commit"


class Ref(Shape):
    """A reference by its full name."""

    ref: str
    object: Object


class _Hand(Shape):
    """Who wrote a commit and when, as the commit says."""

    name: str = ""
    date: datetime | None = None


class _Content(Shape):
    message: str
    tree: Object
    author: _Hand | None = None
    committer: _Hand | None = None


class _Account(Shape):
    login: str = ""


class Commit(Shape):
    """A commit; ``author`` is the account that GitHub takes the author for, if any."""

    sha: str
    commit: _Content
    author: _Account | None = None
    parents: tuple[Object, ...]


class Refs:
    """The references behind *rest*. Names are without their ``refs/``, as in ``heads/main``."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    # Reading

    def find(self, name: str) -> Ref | None:
        """The reference of exactly this name; None also for what git takes for no name."""
        if not _is_name(name):
            return None
        answer = self._rest.read(self._rest.repo(f"git/ref/{quote(name)}"), READ, absent=(404, 409))
        value = answer.json()
        if answer.status != 200 or isinstance(value, list):  # a list answers a mere prefix
            return None
        found = shaped(Ref, value)
        return found if found.ref == f"refs/{name}" else None

    def matching(self, prefix: str) -> tuple[Ref, ...]:
        """Every reference whose name starts with *prefix*."""
        answer = self._rest.read(self._rest.repo(f"git/matching-refs/{quote(prefix)}"), READ, absent=(409,))
        value = answer.json()
        if answer.status != 200:  # 409: a repository without a commit
            return ()
        if not isinstance(value, list):
            raise unreadable("matching-refs: no list")
        found = (shaped(Ref, item) for item in value)
        return tuple(ref for ref in found if ref.ref.startswith(f"refs/{prefix}"))

    def history(self, sha: str) -> Iterator[Commit]:
        """The commit *sha* and all before it, newest first, page by page."""
        for item in self._rest.pages(self._rest.repo("commits"), READ, params={"sha": sha}):
            yield shaped(Commit, item)

    def latest(self, sha: str = "") -> Commit:
        """The commit *sha*, without its changes; by default the one at the tip of the default branch."""
        asked = {"per_page": "1", **({"sha": sha} if sha else {})}
        found = self._rest.read(self._rest.repo("commits"), READ, params=asked, absent=()).json()
        if not isinstance(found, list) or not found:
            raise unreadable("commits: no list, or an empty one")
        return shaped(Commit, found[0])

    # Writing

    def store(self, kind: str, body: Mapping[str, Any]) -> str:
        """The SHA of a new object, one of the ``blobs``, ``trees`` or ``commits``; nothing refers to it yet."""
        answer = self._rest.write("POST", self._rest.repo(f"git/{kind}"), WRITE, body)
        if answer.status != 201:
            raise self._rest.refused(f"store one of the {kind} of a commit", answer)
        return answer.read(Object).sha

    def move(self, name: str, old: str | None, new: str, hint: str = "") -> bool:
        """Point *name* from *old* (None: it must not exist) to *new*, which descends from it.

        False, with nothing changed, when it is elsewhere by now. GitHub says 422 for that and for a reference that is
        protected.
        """
        if old is None:
            sent = {"ref": f"refs/{named(name)}", "sha": new}
            answer = self._rest.write("POST", self._rest.repo("git/refs"), WRITE, sent)
        else:
            path = self._rest.repo(f"git/refs/{quote(named(name))}")
            answer = self._rest.write("PATCH", path, WRITE, {"sha": new, "force": False})
        if answer.status in (200, 201):
            return True
        if answer.status == 409 or mapping(answer.json()).get("message") in ELSEWHERE or self._sha(name) != old:
            return False
        raise self._rest.refused(f"update {name.removeprefix('heads/')}", answer, hint)

    def delete(self, name: str) -> bool:
        """Remove *name*; False when there was none."""
        if self.find(named(name)) is None:
            return False
        answer = self._rest.write("DELETE", self._rest.repo(f"git/refs/{quote(name)}"), WRITE)
        if answer.status == 204:
            return True
        if self.find(name) is None:  # somebody was faster
            return False
        if answer.status == 404:
            raise self._rest.failures.forbidden("HTTP 404 for what is there", WRITE)
        raise self._rest.refused(f"delete {name}", answer)

    def _sha(self, name: str) -> str | None:
        found = self.find(name)
        return found.object.sha if found else None


def _is_name(name: str) -> bool:
    """Whether git takes *name*, below ``refs/``, for a reference (git-check-ref-format); addresses rely on it."""
    return bool(name) and _NO_NAME.search(name) is None


def named(name: str) -> str:
    """*name*; raises ConfigError ``ref-invalid`` for what git would not take."""
    if not _is_name(name):
        raise ConfigError(
            "ref-invalid",
            "git takes this for no name of a reference",
            object=ascii(f"refs/{name}")[1:-1],
            wanted="a name as `git check-ref-format` has it",
            hint="name a tag that git would take",
        )
    return name
