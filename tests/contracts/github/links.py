"""The shapes of GitHub's addresses: what stays of a link when names and numbers are taken out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_ORIGIN = re.compile(
    r"https?://(?:(?:[a-z]+\.)?github\.com(?=/)|HOSTNAME(?=/)|127\.0\.0\.1:\d+(?=/))(?:/uploads(?=/repos/))?"
)
_REPOSITORY = re.compile(r"^/(repos/)?[^/{]+/[^/{]+(?=[/{]|$)")
_ACCOUNT = re.compile(r"^/(users|apps|orgs|teams)/[^/{]+")
_NAMED = re.compile(
    r"(/(?:releases/tag|releases/download|contents|blob|tree|raw|compare|git/refs?|tarball|zipball|statuses|"
    r"environments|memberships|activity_log|orgs/\*/teams))[/?][^{].*"
)


def shape(address: str) -> str | None:
    """*address* with ``*`` for accounts and repositories, ``…`` for other names, ``@`` for objects of git, ``#`` for
    numbers; None when it is not an address at GitHub, or at a rehearsal of it.
    """
    origin = _ORIGIN.match(address)
    if origin is None:
        return None
    path = address[origin.end() :]
    if _ACCOUNT.match(path):
        path = _ACCOUNT.sub(r"/\1/*", path)
    elif path.count("/") == 1:
        path = "/*"
    else:
        path = _REPOSITORY.sub(lambda found: f"/{found[1] or ''}*/*", path)
    path = _NAMED.sub(r"\1/…", path)
    return re.sub(r"/\d+(?=[/{.?]|$)", "/#", re.sub(r"/[0-9a-f]{40}", "/@", path))


def links(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every link in *value*: its place, and its shape. Avatars have addresses of their own and are left out."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from links(inner, (*place, key))
    elif isinstance(value, str) and place and place[-1] != "avatar_url" and (found := shape(value)):
        yield place, found
