"""A local git repository, read with git's plumbing and never run.

Refs are listed once and compared whole: `tag` knows ``refs/tags/NAME`` and nothing that git would guess. Commits,
trees and files come from one ``git cat-file --batch`` session by object id, so that neither a name nor a path is
ever an argument. What the repository's own configuration could start (fetches of missing objects, hooks, monitors)
is switched off, and so is what could make it show something else than it holds (replacement refs, grafts).
"""

from __future__ import annotations

import os
import re
import subprocess
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import IO, Final, cast
from urllib.parse import urlsplit

from releaser.errors import ConfigError
from releaser.inspect.versions import is_pattern, read_versions
from releaser.model.facts import Source, Tag
from releaser.model.version import Version

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes in a file or tree that is read; manifests and lockfiles are far smaller."""
MAX_FOLDERS: Final = 50_000
MAX_DEPTH: Final = 64
"""Folders that patterns may look into: one stored folder can appear in a tree any number of times."""

_TAGS: Final = "refs/tags/"
_ORIGIN: Final = "refs/remotes/origin/"
_HEADS: Final = "refs/heads/"

_GIT: Final = (
    "git",
    "--no-pager",
    *("-c", "safe.directory=*"),  # a container's checkout belongs to another user
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.allow=never"),
    *("-c", f"core.bigFileThreshold={MAX_FILE}"),
)
_ENVIRONMENT: Final = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "none",  # outranks protocol.NAME.allow in the repository's configuration
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


class Repository:
    """A repository with its whole history: a clone, a bare one, or a worktree.

    Safe to share between threads. Every method raises ConfigError for a repository that cannot be used as it is,
    and nothing else.
    """

    def __init__(self, path: Path) -> None:
        """Open the repository that holds *path*.

        Raises ConfigError ``repository-missing``, ``repository-shallow`` or ``git-missing``.
        """
        self._path = path
        answer = self._git("rev-parse", "--is-shallow-repository", fails="repository-missing")
        if answer.strip() != b"false":
            raise ConfigError(
                "repository-shallow",
                "the repository is a shallow clone: it does not know which branches hold a commit",
                object=str(path),
                found="a shallow clone",
                wanted="the whole history and all tags",
                hint="git fetch --unshallow --tags; with actions/checkout set `fetch-depth: 0`",
            )
        self._objects = _Objects([*_GIT, "-C", str(path), "cat-file", "--batch"])

    def tags(self) -> tuple[str, ...]:
        """The names of all tags, sorted; bytes that are not UTF-8 are shown escaped."""
        return tuple(sorted(name.removeprefix(_TAGS) for name in self._refs if name.startswith(_TAGS)))

    def tag(self, name: str) -> Tag | None:
        """The tag of exactly this name, peeled; None when there is none.

        Raises ConfigError ``tag-not-a-commit`` when it leads to anything but a commit.
        """
        if "\\" in name or (ref := self._refs.get(_TAGS + name)) is None:  # no ref has a backslash, escapes do
            return None
        kind, content = self._objects.read(ref.object)
        annotated, tagger, peeled = kind == "tag", "", ref.object
        if annotated:
            tagger = _address(_header(content, b"tagger"))
        while kind == "tag":
            peeled = _header(content, b"object").decode("ascii", "replace")
            kind, content = self._objects.read(peeled)
        if kind != "commit":
            raise ConfigError(
                "tag-not-a-commit",
                f"the tag {name!a} leads to a {kind}",
                object=_TAGS + name,
                found=f"{kind} {peeled}",
                wanted="a commit",
                hint=f"git show --no-patch {ref.object}",
            )
        return Tag(name, ref.object, peeled, annotated, tagger)

    def branches_containing(self, commit: str) -> tuple[str, ...]:
        """The short names, sorted, of the branches that hold *commit*: origin's if any are known, else our own."""
        _require_id(commit)
        prefix = self._branch_prefix
        # for-each-ref takes no ref from us: the id was checked and the prefix is a constant
        listed = self._git("for-each-ref", f"--contains={commit}", "--format=%(refname)", prefix)
        names = (_shown(line).removeprefix(prefix) for line in listed.splitlines())
        return tuple(sorted(name for name in names if name != "HEAD" or prefix == _HEADS))

    def default_branch(self) -> str:
        """Where origin's HEAD points, else ``main``, else ``master``, else the branch that is checked out.

        Raises ConfigError ``default-branch-unknown``.
        """
        prefix = self._branch_prefix
        head = self._refs.get(_ORIGIN + "HEAD")
        current = next((name for name, ref in self._refs.items() if ref.current), "").removeprefix(_HEADS)
        for name in (head.target.removeprefix(_ORIGIN) if head else "", "main", "master", current):
            if name and prefix + name in self._refs:
                return name
        raise ConfigError(
            "default-branch-unknown",
            "the repository does not show which branch is its default",
            object=str(self._path),
            found=f"no main, no master, and no HEAD below {prefix}",
            wanted="one default branch",
            hint="git remote set-head origin --auto",
        )

    def commit_of(self, branch: str) -> str:
        """The commit at the tip of *branch*, as origin has it if origin's branches are known.

        Raises ConfigError ``branch-missing``.
        """
        if ref := self._refs.get(self._branch_prefix + branch):
            return ref.object
        raise ConfigError(
            "branch-missing",
            f"there is no branch {branch!a}",
            object=self._branch_prefix + branch,
            found="nothing",
            wanted="a branch",
            hint="git fetch origin",
        )

    def remote_repository(self) -> str | None:
        """``OWNER/NAME`` from the URL of origin; None without one, or when its path is not of that form."""
        address = self._git("config", "--get", "remote.origin.url", fails=None)
        return _owner_and_name(_shown(address.strip()))

    def files(self, commit: str) -> CommitFiles:
        """The files that *commit* holds."""
        return CommitFiles(self._objects, commit)

    def file(self, path: str, commit: str) -> bytes | None:
        """See `CommitFiles.file`."""
        return self.files(commit).file(path)

    def glob(self, pattern: str, commit: str) -> tuple[str, ...]:
        """See `CommitFiles.glob`."""
        return self.files(commit).glob(pattern)

    def revision(self, name: str) -> str:
        """The commit that *name* (``HEAD``, a branch, an id) stands for; raises ConfigError ``revision-missing``."""
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found := self._git(*words, fails=None).strip().decode("ascii"):
            return found
        raise ConfigError(
            "revision-missing",
            f"the repository has no commit {name!a}",
            object=name,
            found="nothing of this name",
            wanted="a branch, a tag or a commit",
            hint="git fetch --tags origin, or name another one",
        )

    def source(self, tag: Tag, paths: Sequence[str], version_of: Callable[[str], Version | None]) -> Source:
        """The branches that hold *tag*'s commit, the versions that *paths* state there, and the other tags' versions.

        *version_of* turns the name of another tag into a version; None or ConfigError mean "not a release tag".
        """
        files = self.files(tag.commit)
        entries = (entry for path in dict.fromkeys(paths) for entry in read_versions(path, files))
        others = (_version(name, version_of) for name in self.tags() if name != tag.name)
        return Source(
            tag=tag,
            branches=self.branches_containing(tag.commit),
            versions=tuple(dict.fromkeys(entries)),
            released=tuple(version for version in others if version is not None),
        )

    @cached_property
    def _refs(self) -> Mapping[str, _Ref]:
        """Every tag and branch by full name, read once."""
        layout = "%(HEAD)%(objectname) %(refname) %(symref)"
        listed = self._git("for-each-ref", f"--format={layout}", _TAGS, _HEADS, _ORIGIN)
        refs = {}
        for line in listed.splitlines():
            target, name, points_to = _shown(line[1:]).split(" ", 2)
            refs[name] = _Ref(target, points_to, current=line.startswith(b"*"))
        return refs

    @cached_property
    def _branch_prefix(self) -> str:
        known = any(name.startswith(_ORIGIN) and name != _ORIGIN + "HEAD" for name in self._refs)
        return _ORIGIN if known else _HEADS

    def _git(self, *arguments: str, fails: str | None = "repository-unreadable") -> bytes:
        """What git prints; a failure raises ConfigError *fails*, or means nothing printed where that is None."""
        command = [*_GIT, "-C", str(self._path), *arguments]
        try:
            done = subprocess.run(
                command, check=False, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True
            )
        except OSError as error:
            raise _no_git(error) from error
        if done.returncode == 0:
            return done.stdout
        if fails is None:
            return b""
        words = _shown(done.stderr.strip()).splitlines()
        raise ConfigError(
            fails,
            "git cannot read the repository",
            object=str(self._path),
            found=words[-1] if words else f"git ended with {done.returncode}",
            wanted="a git repository with its history",
            hint=f"git -C {self._path} status; name another folder with --repo",
        )


class CommitFiles:
    """The files of one commit. Paths are relative to the repository's root, with ``/``."""

    def __init__(self, objects: _Objects, commit: str) -> None:
        _require_id(commit)
        self._objects = objects
        self._commit = commit
        self._visits = 0

    def file(self, path: str) -> bytes | None:
        """The bytes of *path*; None when there is no such file.

        Raises ConfigError ``file-unreadable`` for symbolic links, submodules and more than `MAX_FILE` bytes.
        """
        kind, at = "tree", self._root
        for done, segment in enumerate(path.split("/"), 1):
            where = "/".join(path.split("/")[:done])
            if kind != "tree" or (entry := self._objects.tree(at).get(segment)) is None:
                return None
            kind, at = entry
            if kind not in ("tree", "file"):
                raise _unreadable(where, kind, "a file kept in this repository")
        if kind == "tree":
            return None
        _, content = self._objects.read(at, name=path)
        return content

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The paths, sorted, that match *pattern* segment by segment; ``**`` stands for any number of folders.

        Symbolic links and submodules are found by their own name and not looked into. Raises ConfigError
        ``file-unreadable`` where the patterns used so far lead through more than `MAX_FOLDERS` folders.
        """
        return tuple(sorted(set(self._matches(self._root, "", tuple(pattern.split("/"))))))

    def _matches(self, at: str, prefix: str, segments: tuple[str, ...]) -> Iterator[str]:
        self._visits += 1
        if self._visits > MAX_FOLDERS or prefix.count("/") > MAX_DEPTH:
            found, wanted = f"folders without end below {prefix or '/'}", f"{MAX_FOLDERS} folders, {MAX_DEPTH} deep"
            raise _unreadable("/".join(segments), found, f"at most {wanted}")
        wanted, rest = segments[0], segments[1:]
        if wanted == "**" and rest:
            yield from self._matches(at, prefix, rest)
        tree = self._objects.tree(at)
        names = tree if is_pattern(wanted) else (wanted,) if wanted in tree else ()
        for name in names:
            kind, target = tree[name]
            if kind == "tree":
                if wanted == "**":
                    yield from self._matches(target, f"{prefix}{name}/", segments)
                elif rest and fnmatchcase(name, wanted):
                    yield from self._matches(target, f"{prefix}{name}/", rest)
            elif not rest and fnmatchcase(name, wanted):
                yield prefix + name

    @cached_property
    def _root(self) -> str:
        kind, content = self._objects.read(self._commit)
        if kind != "commit":
            raise _unreadable(self._commit, kind, "a commit")
        return _header(content, b"tree").decode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class _Ref:
    object: str
    target: str  # the ref that a symbolic one stands for
    current: bool  # HEAD is on it


class _Objects:
    """One ``git cat-file --batch`` session, started by the first read and ended with this object."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._lock = Lock()
        self._session: tuple[IO[bytes], IO[bytes]] | None = None
        self._end: Callable[[], object] = lambda: None
        self._trees: dict[str, Mapping[str, tuple[str, str]]] = {}

    def read(self, object: str, name: str = "") -> tuple[str, bytes]:
        """Kind (``commit``, ``tree``, ``blob``, ``tag``) and bytes of an object; *name* is for error texts.

        Raises ConfigError ``object-missing`` or ``file-unreadable``.
        """
        _require_id(object)
        with self._lock:
            ask, answer = self._session or self._start()
            try:
                ask.write(object.encode() + b"\n")
                ask.flush()
                words = answer.readline().split()
                if len(words) == 3 and int(words[2]) <= MAX_FILE:
                    content = answer.read(int(words[2]) + 1)[:-1]
                    if len(content) == int(words[2]):
                        return words[1].decode(), content
            except OSError:
                words = []
            self._stop()  # what is still in the pipe belongs to this answer
        if len(words) == 3 and int(words[2]) > MAX_FILE:
            raise _unreadable(name or object, f"{int(words[2])} bytes", f"at most {MAX_FILE} bytes")
        raise ConfigError(
            "object-missing",
            f"the repository lacks the object {object}",
            object=name or object,
            found="a broken or partial clone",
            wanted="every object of the tagged commit",
            hint="git fetch --refetch --tags origin; then git fsck",
        )

    def tree(self, object: str) -> Mapping[str, tuple[str, str]]:
        """What a folder holds: name → (``tree``, ``file``, ``symbolic link`` or ``submodule``; object)."""
        if (known := self._trees.get(object)) is not None:
            return known
        _, content = self.read(object)
        width = len(object) // 2  # an object id is half as many bytes as hexadecimal digits
        entries, at = {}, 0
        while found := _TREE_ENTRY.match(content, at):
            at = found.end() + width
            entries[_shown(found[2])] = (_KINDS.get(found[1], "file"), content[found.end() : at].hex())
        if at != len(content):
            raise _unreadable(object, "a folder that is not in git's form", "a folder")
        self._trees[object] = entries
        return entries

    def _start(self) -> tuple[IO[bytes], IO[bytes]]:
        try:
            process = subprocess.Popen(
                self._command,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise _no_git(error) from error
        self._end = weakref.finalize(self, _end, process)
        self._session = (cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout))
        return self._session

    def _stop(self) -> None:
        self._session = None
        self._end()


_TREE_ENTRY: Final = re.compile(rb"([0-7]+) ([^\0]+)\0")
_KINDS: Final = {b"40000": "tree", b"120000": "symbolic link", b"160000": "submodule"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill: there is nothing to lose in a reader, and it may be in the middle of a long answer."""
    process.kill()
    with process:  # closes the pipes and waits
        pass


def _environment() -> dict[str, str]:
    """Ours without GIT_DIR and its like, which would show another repository than the one that was named."""
    return {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | _ENVIRONMENT


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _header(content: bytes, key: bytes) -> bytes:
    """The value of a commit's or tag's header line; empty without one."""
    for line in content.split(b"\n\n", 1)[0].split(b"\n"):
        if line.startswith(key + b" "):
            return line[len(key) + 1 :]
    return b""


def _address(person: bytes) -> str:
    """``a@b`` of ``Name <a@b> 1700000000 +0000``."""
    return _shown(person.rpartition(b"<")[2].partition(b">")[0]) if b"<" in person else ""


def _version(name: str, version_of: Callable[[str], Version | None]) -> Version | None:
    try:
        return version_of(name)
    except ConfigError:
        return None


def _owner_and_name(address: str) -> str | None:
    if "://" in address:
        try:
            parts = urlsplit(address)
        except ValueError:  # brackets that hold no IPv6 address
            return None
        path = parts.path if parts.scheme in ("https", "http", "ssh", "git", "git+ssh") else ""
    else:  # [user@]host:path, where one letter would be a drive
        host, _, path = address.partition(":")
        path = path if len(host) > 1 and "/" not in host else ""
    found = re.fullmatch(r"/?([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+?)(?:\.git)?/?", path, re.ASCII)
    return f"{found[1]}/{found[2]}" if found else None


def _require_id(object: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", object):
        raise ConfigError(
            "object-missing",
            f"{object!a} is no object id",
            object="object id",
            found=ascii(object),
            wanted="40 or 64 hexadecimal digits",
            hint="git rev-parse NAME prints the id; git fsck finds objects that are not in git's form",
        )


def _unreadable(path: str, found: str, wanted: str) -> ConfigError:
    return ConfigError(
        "file-unreadable",
        f"{path!a} cannot be read as a file: {found}",
        object=path,
        found=found,
        wanted=wanted,
        hint=f"commit {path} as an ordinary file",
    )


def _no_git(error: OSError) -> ConfigError:
    return ConfigError("git-missing", "git could not be started", object="git", found=str(error), hint="install git")
