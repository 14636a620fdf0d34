"""Who holds releases back: references below ``refs/releaser/freeze``, each at a commit that says why.

Whoever may write to the repository can freeze and thaw, with `releaser` or with git alone; GitHub says who and when
by that commit.
"""

from __future__ import annotations

from releaser.adapters.github_errors import unreadable
from releaser.adapters.github_refs import Refs, named
from releaser.model.facts import Freeze

FOLDER = "releaser/freeze"


class Freezes:
    """The freezes of the repository behind *refs*. A tag of None stands for every release."""

    def __init__(self, refs: Refs) -> None:
        self._refs = refs

    def of(self, tag: str) -> Freeze | None:
        """The freeze of *tag* itself, else that of every release; one request when there is none."""
        there = {ref.ref: ref for ref in self._refs.matching(FOLDER)}
        for frozen in (tag, None):
            if found := there.get(f"refs/{_name(frozen)}"):
                return self._shown(frozen, found.object.sha)
        return None

    def add(self, tag: str | None, reason: str) -> Freeze:
        """The freeze that stands now: this one, or the one that was there before, which stays as it is."""
        name = named(_name(tag))
        if found := self._refs.find(name):
            return self._shown(tag, found.object.sha)
        message = f"releaser freeze of {tag or 'every release'}\n\n{reason}"
        tree = self._refs.latest().commit.tree.sha
        commit = self._refs.store("commits", {"message": message, "tree": tree, "parents": []})
        if self._refs.move(name, None, commit):
            return self._shown(tag, commit)
        if found := self._refs.find(name):  # somebody was faster
            return self._shown(tag, found.object.sha)
        raise unreadable(f"refs/{name} is there and is not")

    def remove(self, tag: str | None) -> bool:
        """Thaw; False when *tag* (None: every release) was not frozen."""
        return self._refs.delete(_name(tag))

    def _shown(self, tag: str | None, sha: str) -> Freeze:
        found = self._refs.latest(sha)
        subject, _, reason = found.commit.message.strip().partition("\n\n")
        when = found.commit.committer.date if found.commit.committer else None
        if when is None:
            raise unreadable(f"commit {sha} without a time")
        account = found.author.login if found.author else ""
        name = found.commit.author.name if found.commit.author else ""
        return Freeze(tag or "", reason.strip() or subject, account or name or "somebody", when)


def _name(tag: str | None) -> str:
    return f"{FOLDER}/all" if tag is None else f"{FOLDER}/tag/{tag}"
