"""Bare git repositories, read and written by git's own plumbing, and served by git's own HTTP backend."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, Self

from releaser.errors import ExternalError

SHA = re.compile(r"[0-9a-f]{40}\Z")
ABBREVIATED = re.compile(r"[0-9a-f]{7,40}\Z")
PERSON = re.compile(r"(?P<name>.*?) ?<(?P<email>[^>]*)> (?P<time>\d+) [+-]\d{4}\Z")
SIGNATURE = re.compile(r"^-----BEGIN (PGP|SSH) SIGNATURE-----$", re.MULTILINE)
# Questions about objects by their SHA: what git once answered to one of them, it will always answer.
FIXED = re.compile(
    r"(cat-file|rev-parse|ls-tree|merge-base|rev-list)( --?[\w=-]+| commit| tag| blob)*"
    r"( \^?[0-9a-f]{40}(\.\.\.[0-9a-f]{40}|\^\{commit\})?)+( -- .*)?"
)
REMEMBERED = 64 << 10  # the longest answer that is worth the memory, in bytes

# Nothing of the user's configuration, hooks or credentials takes part.
ISOLATED = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}

Comparison = Literal["identical", "ahead", "behind", "diverged"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference and what it points at: ``kind`` is ``commit``, or ``tag`` when annotated."""

    name: str
    sha: str
    kind: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who and when; ``date`` is ``YYYY-MM-DDTHH:MM:SSZ``."""

    name: str
    email: str
    date: str


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str
    signature: str | None


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated tag; ``message`` is without its signature."""

    sha: str
    name: str
    target: str
    target_kind: str
    tagger: Person
    message: str
    signature: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree. ``path`` is relative to the tree that was listed; ``size`` is 0 but for blobs."""

    path: str
    mode: str
    kind: str
    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What git's HTTP backend answered."""

    status: int
    headers: dict[str, str]
    body: bytes


def instant(seconds: float) -> str:
    """GitHub's spelling of a time: ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class BareRepository:
    """The bare repository at *path*. Methods raise ExternalError ``git-failed`` when git refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[tuple[str, ...], subprocess.CompletedProcess[bytes]] = {}

    @classmethod
    def create(cls, path: Path, default_branch: str) -> Self:
        """An empty repository that takes pushes over HTTP."""
        path.mkdir(parents=True)
        repository = cls(path)
        repository.run("init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}")
        with (path / "config").open("a") as config:
            config.write("[http]\n\treceivepack = true\n[uploadpack]\n\tallowAnySHA1InWant = true\n")
        return repository

    def run(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Standard output of ``git ARGUMENTS`` in this repository."""
        done = self._git(arguments, stdin, env)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip()
            raise ExternalError("git-failed", f"git {arguments[0]}: {reason}", object=self.path.name, retryable=False)
        return done.stdout

    def ask(self, *arguments: str) -> str | None:
        """Standard output of ``git ARGUMENTS`` without its line end, None when git says no."""
        done = self._git(arguments, b"", None)
        return None if done.returncode else done.stdout.decode().strip()

    def _git(
        self, arguments: Sequence[str], stdin: bytes, env: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[bytes]:
        question = tuple(arguments)
        if question in self._answers:
            return self._answers[question]
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            input=stdin,
            capture_output=True,
            env={**_environment(), "GIT_DIR": str(self.path), **(env or {})},
            check=False,
        )
        if not done.returncode and len(done.stdout) <= REMEMBERED and FIXED.fullmatch(" ".join(question)):
            self._answers[question] = done
        return done

    # Reading

    def kind(self, sha: str) -> str | None:
        """``commit``, ``tag``, ``tree`` or ``blob``; None when there is no such object."""
        return self.ask("cat-file", "-t", sha) if SHA.match(sha) else None

    def refs(self, prefix: str = "refs/") -> list[Ref]:
        """References whose full name starts with *prefix*, by name."""
        if not (self.path / "packed-refs").exists():  # each is in a file of its own name (gitrepository-layout)
            files = [str(f.relative_to(self.path)) for f in (self.path / "refs").rglob("*") if f.suffix != ".lock"]
            found = (self._loose(name) for name in sorted(files) if name.startswith(prefix))
            return [ref for ref in found if ref]
        lines = self.run("for-each-ref", "--format=%(refname) %(objectname) %(objecttype)").decode().splitlines()
        return [ref for ref in (Ref(*line.split(" ")) for line in lines) if ref.name.startswith(prefix)]

    def ref(self, name: str) -> Ref | None:
        """The reference with exactly this full name."""
        return self._loose(name) or next((ref for ref in self.refs(name) if ref.name == name), None)

    def _loose(self, name: str) -> Ref | None:
        try:
            sha = (self.path / name).read_text().strip()
        except (OSError, ValueError):
            return None
        kind = self.kind(sha)
        return Ref(name, sha, kind) if kind else None

    def commit_of(self, name: str) -> str | None:
        """The commit that a full or abbreviated SHA, a branch, a tag or a full reference name leads to."""
        candidates = [f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}"]
        if name.startswith("refs/"):
            candidates = [name]
        elif ABBREVIATED.match(name):
            candidates.insert(0, name)
        for candidate in candidates:
            ref = self.ref(candidate) if candidate.startswith("refs/") else None
            start = ref.sha if ref else candidate
            named = ref or candidate == name
            if named and (found := self.ask("rev-parse", "--verify", "--quiet", f"{start}^{{commit}}")):
                return found
        return None

    def commit(self, sha: str) -> Commit:
        headers, message = self._object("commit", sha)
        return Commit(
            sha=sha,
            tree=headers["tree"][0],
            parents=tuple(headers.get("parent", ())),
            author=_person(headers["author"][0]),
            committer=_person(headers["committer"][0]),
            message=message.rstrip("\n"),
            signature=headers.get("gpgsig", [None])[0],
        )

    def tag(self, sha: str) -> Tag:
        headers, message = self._object("tag", sha)
        signed = SIGNATURE.search(message)
        return Tag(
            sha=sha,
            name=headers["tag"][0],
            target=headers["object"][0],
            target_kind=headers["type"][0],
            tagger=_person(headers.get("tagger", [""])[0]),
            message=message[: signed.start()] if signed else message,
            signature=message[signed.start() :] if signed else None,
        )

    def _object(self, kind: str, sha: str) -> tuple[dict[str, list[str]], str]:
        """Headers and message of a commit or tag; continued header lines are joined (gitformat-signature)."""
        head, _, message = self.run("cat-file", kind, sha).decode(errors="replace").partition("\n\n")
        headers: dict[str, list[str]] = {}
        last = ""
        for line in head.split("\n"):
            if line.startswith(" "):
                headers[last][-1] += "\n" + line[1:]
            else:
                last, _, value = line.partition(" ")
                headers.setdefault(last, []).append(value)
        return headers, message

    def compare(self, base: str, head: str) -> tuple[Comparison, str, int, int] | None:
        """How commit *head* stands to *base*: status, merge base, commits ahead, commits behind.

        None when they have no common ancestor.
        """
        merge_base = self.ask("merge-base", base, head)
        if merge_base is None:
            return None
        counts = self.run("rev-list", "--left-right", "--count", f"{base}...{head}").split()
        behind, ahead = (int(count) for count in counts)
        status: Comparison = "diverged"
        if not ahead or not behind:
            status = "ahead" if ahead else "behind" if behind else "identical"
        return status, merge_base, ahead, behind

    def log(self, base: str | None, head: str, limit: int) -> list[str]:
        """SHAs of up to *limit* commits of *head* that *base* lacks, newest first."""
        exclude = [f"^{base}"] if base else []
        return self.run("rev-list", f"--max-count={limit}", head, *exclude).decode().split()

    def entry(self, commit: str, path: str) -> Entry | None:
        """The file or folder at *path*; the empty path is the root folder."""
        if not path:
            return Entry("", "040000", "tree", self.commit(commit).tree, 0)
        return next((e for e in self._tree(commit, "--", f":(literal){path}") if e.path == path), None)

    def folder(self, tree: str) -> list[Entry]:
        """What the tree object *tree* holds, one level deep."""
        return self._tree(tree)

    def _tree(self, tree: str, *pathspec: str) -> list[Entry]:
        lines = self.run("ls-tree", "-z", "--long", tree, *pathspec).decode().split("\0")
        entries = []
        for line in filter(None, lines):
            facts, _, path = line.partition("\t")
            mode, kind, sha, size = facts.split()
            entries.append(Entry(path, mode, kind, sha, 0 if size == "-" else int(size)))
        return entries

    def blob(self, sha: str) -> bytes:
        return self.run("cat-file", "blob", sha)

    # Writing

    def begin(self, branch: str, files: Mapping[str, str], message: str, by: Person, tag: str = "") -> str:
        """A *branch* whose one commit has these *files*, and a *tag* on it where one is named; the commit.

        Paths are without quotes and line ends.
        """
        when = f"{by.name} <{by.email}> {_seconds(by.date)} +0000\n"
        stream = [f"commit refs/heads/{branch}\nmark :1\ncommitter {when}", _data(message)]
        for path, text in files.items():
            stream += [f"M 100644 inline {path}\n", _data(text)]
        if tag:
            stream += [f"tag {tag}\nfrom :1\ntagger {when}", _data(message)]
        return self.run("fast-import", "--quiet", stdin="".join([*stream, "get-mark :1\n"]).encode()).decode().strip()

    def write_blob(self, data: bytes) -> str:
        return self.run("hash-object", "-w", "--stdin", stdin=data).decode().strip()

    def write_tree(self, base: str | None, changes: Sequence[tuple[str, str, str | None]]) -> str:
        """*base* with every (path, mode, blob SHA) put in, or taken out when the SHA is None."""
        with tempfile.TemporaryDirectory(dir=self.path) as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.run("read-tree", *([base] if base else ["--empty"]), env=env)
            lines = [f"{mode if sha else '0'} {sha or '0' * 40}\t{path}\0" for path, mode, sha in changes]
            self.run("update-index", "-z", "--index-info", stdin="".join(lines).encode(), env=env)
            return self.run("write-tree", env=env).decode().strip()

    def write_commit(self, tree: str, parents: Sequence[str], message: str, author: Person, committer: Person) -> str:
        env = {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email,
            "GIT_AUTHOR_DATE": author.date,
            "GIT_COMMITTER_NAME": committer.name,
            "GIT_COMMITTER_EMAIL": committer.email,
            "GIT_COMMITTER_DATE": committer.date,
        }
        flags = [word for parent in parents for word in ("-p", parent)]
        return self.run("commit-tree", tree, *flags, stdin=message.encode(), env=env).decode().strip()

    def write_tag(self, name: str, target: str, kind: str, message: str, tagger: Person) -> str:
        """An annotated tag object; a reference to it is made by ``move``."""
        who = f"{tagger.name} <{tagger.email}> {_seconds(tagger.date)} +0000"
        text = f"object {target}\ntype {kind}\ntag {name}\ntagger {who}\n\n{message}\n"
        return self.run("mktag", stdin=text.encode()).decode().strip()

    def is_ref_name(self, name: str) -> bool:
        return self.ask("check-ref-format", name) is not None

    def move(self, ref: str, new: str, old: str | None) -> bool:
        """Point *ref* from *old* (None: it must not exist) to *new*; False when it is elsewhere."""
        return self.ask("update-ref", ref, new, old or "0" * 40) is not None

    def delete(self, ref: str) -> None:
        self.run("update-ref", "-d", ref)


def _environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")}, **ISOLATED}


def _data(text: str) -> str:
    """*text* as git-fast-import reads it."""
    return f"data {len(text.encode())}\n{text}\n"


def _seconds(date: str) -> int:
    return int(datetime.fromisoformat(date).timestamp())


def _person(line: str) -> Person:
    match = PERSON.match(line)
    if match is None:
        return Person("", "", instant(0))
    return Person(match["name"], match["email"], instant(int(match["time"])))


def serve(
    root: Path, method: str, path: str, query: str, headers: Mapping[str, str], body: IO[bytes], length: int, user: str
) -> Reply:
    """Answer one smart-HTTP request for the repositories under *root* by ``git http-backend`` (a CGI program).

    *headers* have lower-case names; *user* is who pushes, empty for nobody.
    """
    env = {
        **_environment(),
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(length),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "REMOTE_USER": user,
        "REMOTE_ADDR": "127.0.0.1",
    }
    body.seek(0)
    done = subprocess.run(["git", "http-backend"], stdin=body, capture_output=True, env=env, check=False)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    if not head:
        return Reply(500, {}, done.stderr)
    answered = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(answered.pop("Status", "200").split(" ")[0])
    return Reply(status, answered, content)
