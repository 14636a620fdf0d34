"""The versions that a tree of files states: manifests, lockfiles' own entries, plain version files.

Nothing is run and nothing is asked of the disk: bytes come from a `Files`, out go `VersionEntry` values. What cannot
be understood is an entry with ``problem``, never an exception and never nothing at all.

Sources: doc.rust-lang.org cargo/reference/workspaces.html and manifest.html; packaging.python.org
specifications/pyproject-toml; docs.npmjs.com configuring-npm/package-json and package-lock-json. No specification
describes Cargo.lock and uv.lock: they are read by the keys that the tools write.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import basename, dirname, join, normpath, relpath
from typing import Any, Final, Protocol

from releaser.errors import ConfigError
from releaser.inspect.toml import read_toml
from releaser.model.facts import VersionEntry
from releaser.model.spelling import Ecosystem


class Files(Protocol):
    """The files of one tree; paths are relative to its root."""

    def file(self, path: str) -> bytes | None:
        """The bytes of *path*, None when it is not there; ConfigError when it cannot be read as a file."""

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The paths that match *pattern*; a pattern without wildcards is an exact path."""


def is_pattern(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def read_versions(pattern: str, files: Files) -> tuple[VersionEntry, ...]:
    """Every version stated by the files that match *pattern*, in their order.

    How a file is read depends on its name alone. An exact path that is missing is an entry with ``problem``, a
    pattern that matches nothing is no entry. In ``fix``, ``{wanted}`` stands for the version's spelling.
    """
    path = normpath(pattern)
    try:
        paths = files.glob(path) if is_pattern(path) else (path,)
    except ConfigError as error:
        return (VersionEntry(path, Ecosystem.SEMVER, None, problem=error.message, fix=error.hint),)
    return tuple(entry for found in paths for entry in _read(found, files))


class _Problem(Exception):
    """Why a file states nothing; never leaves this module."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix


def _read(path: str, files: Files) -> Iterator[VersionEntry]:
    ecosystem, reader = _READERS.get(basename(path)) or (_PYTHON if path.endswith(".py") else _PLAIN)
    problem = "states no version"
    fix = f"state version {{wanted}} in {path}, or take the file out of [version] in the policy"
    try:
        for entry in reader(path, _bytes(path, files), files):
            problem = ""
            yield entry
    except _Problem as error:
        problem, fix = error.problem, error.fix or fix
    except ConfigError as error:
        problem, fix = error.message, error.hint
    if problem:
        yield VersionEntry(path, ecosystem, None, problem=problem, fix=fix)


def _bytes(path: str, files: Files) -> bytes:
    if (content := files.file(path)) is None:
        raise _Problem(f"{path} does not exist at the tag", f"commit {path}, or take it out of [version] in the policy")
    return content


# Reading untyped data: what is absent and what has another type look the same, None or empty.


def _toml(path: str, content: bytes) -> Any:
    try:
        return read_toml(content)
    except (ValueError, RecursionError) as error:
        raise _Problem(f"{path} is not TOML: {error}", f"repair {path}") from error


def _json(path: str, content: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError("a key is there twice, and readers differ in which one they take")
        return found

    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _Problem(f"{path} is not JSON: {error}", f"repair {path}") from error


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _text(data: Any, *keys: str) -> str | None:
    return found if isinstance(found := _at(data, *keys), str) else None


def _items(data: Any, *keys: str) -> list[Any]:
    return found if isinstance(found := _at(data, *keys), list) else []


def _texts(data: Any, *keys: str) -> list[str]:
    return [item for item in _items(data, *keys) if isinstance(item, str)]


def _table(data: Any, *keys: str) -> Mapping[str, Any]:
    return found if isinstance(found := _at(data, *keys), dict) else {}


def _single(requirement: str, signs: str) -> str | None:
    """The version in a requirement that is one whole version, bare or after one of *signs*."""
    found = re.fullmatch(rf"[{re.escape(signs)}]?\s*([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)", requirement.strip())
    return found[1] if found else None


# Cargo.


@dataclass(frozen=True, slots=True)
class _Crate:
    """One member of a Cargo workspace, the root package included."""

    path: str
    data: Any

    @property
    def name(self) -> str:
        return _text(self.data, "package", "name") or self.path

    @property
    def literal(self) -> str | None:
        return _text(self.data, "package", "version")

    @property
    def released(self) -> bool:
        """Whether it shares the release's version; a private crate with a version of its own does not."""
        private = _at(self.data, "package", "publish") in (False, [])
        return _inherits(self.data) or (self.literal is not None and not private)

    def dependencies(self) -> Iterator[tuple[str, str, Any]]:
        """Where, under which key, and what each dependency says."""
        for place in (self.data, *_table(self.data, "target").values()):
            for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
                yield from ((kind, key, value) for key, value in _table(place, kind).items())
        workspace = _table(self.data, "workspace", "dependencies")
        yield from (("workspace.dependencies", key, value) for key, value in workspace.items())

    def folder_of(self, dependency: Any) -> str | None:
        """Where a path dependency leads, from the tree's root."""
        to = _text(dependency, "path")
        return None if to is None else normpath(join(dirname(self.path), to))

    def folders(self) -> list[str]:
        """Where its path dependencies lead."""
        folders = (self.folder_of(value) for _, _, value in self.dependencies())
        return sorted({folder for folder in folders if folder is not None})


def _inherits(data: Any) -> bool:
    return _at(data, "package", "version", "workspace") is True


def _crates(root: str, data: Any, files: Files) -> tuple[_Crate, ...]:
    """The root package and the members of its workspace, path dependencies below the root included.

    ``exclude`` holds folders, and a member named in full wins over it (cargo core/workspace.rs, ``is_excluded``).
    """
    folder = dirname(root)
    members = [normpath(join(folder, member)) for member in _texts(data, "workspace", "members")]
    excluded = [normpath(join(folder, member)) for member in _texts(data, "workspace", "exclude")]
    named = [member for member in members if not is_pattern(member)]
    waiting = named + [dirname(at) for m in members if is_pattern(m) for at in files.glob(join(m, "Cargo.toml"))]
    found = {root: _Crate(root, data)}
    waiting += found[root].folders()
    while waiting:
        at = waiting.pop(0)
        path = normpath(join(at, "Cargo.toml"))
        outside = not _is_below(at, normpath(folder)) or any(_is_below(at, other) for other in excluded)
        if path not in found and (at in named or not outside):
            found[path] = _Crate(path, _toml(path, _bytes(path, files)))
            waiting += found[path].folders()
    return tuple(crate for crate in found.values() if _at(crate.data, "package"))


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/") or (folder == "." and not path.startswith(".."))


def _cargo_toml(path: str, content: bytes, files: Files) -> Iterator[VersionEntry]:
    """The version of a package or of a whole workspace: of each member, and in each dependency between members."""
    data = _toml(path, content)
    if "workspace" not in data:
        yield from _package_of(_Crate(path, data), files)
        return
    if version := _text(data, "workspace", "package", "version"):
        where = f"{path} [workspace.package]"
        yield VersionEntry(where, Ecosystem.CARGO, version, fix=_cargo_fix(path))
    crates = [crate for crate in _crates(path, data, files) if crate.released]
    for crate in crates:
        if crate.literal:
            yield from _package_of(crate, files)
    folders = {normpath(dirname(crate.path)) for crate in crates}
    for crate in (_Crate(path, data), *(crate for crate in crates if crate.path != path)):
        for kind, key, value in crate.dependencies():
            required = _single(_text(value, "version") or "", "=^")
            if required and crate.folder_of(value) in folders:
                fix = f'set version = "{{wanted}}" for {key} in [{kind}] of {crate.path}'
                yield VersionEntry(f"{crate.path} [{kind}] {key}", Ecosystem.CARGO, required, fix=fix)


def _package_of(crate: _Crate, files: Files) -> Iterator[VersionEntry]:
    if crate.literal:
        where, fix = f"{crate.path} [package]", _cargo_fix(crate.path)
        yield VersionEntry(where, Ecosystem.CARGO, crate.literal, fix=fix)
    elif _inherits(crate.data):
        root, version = _inherited(crate, files)
        where = f"{crate.path} [package] version.workspace"
        yield VersionEntry(where, Ecosystem.CARGO, version, fix=_cargo_fix(root))


def _inherited(crate: _Crate, files: Files) -> tuple[str, str]:
    """The workspace root that *crate* names or that is nearest above it, and the version stated there."""
    folder = dirname(crate.path)
    named = _text(crate.data, "package", "workspace")
    while True:
        above = normpath(join(folder, named)) if named else dirname(folder)
        root = normpath(join(above, "Cargo.toml"))
        at_end = above == folder or bool(named)
        folder = above
        content = files.file(root)
        data = _toml(root, content) if content is not None else {}
        if "workspace" in data:
            if version := _text(data, "workspace", "package", "version"):
                return root, version
            raise _Problem(f"{root} has no [workspace.package] version for {crate.path} to inherit", _cargo_fix(root))
        if at_end:
            raise _Problem(f"{crate.path} inherits its version and no Cargo.toml above it has [workspace]")


def _cargo_lock(path: str, content: bytes, files: Files) -> Iterator[VersionEntry]:
    """The workspace's own packages: those without ``source``, but not private ones with a version of their own."""
    root = join(dirname(path), "Cargo.toml")
    crates = _crates(root, _toml(root, _bytes(root, files)), files)
    fix = f"set the version in {root}, then run `cargo update --workspace` in {dirname(path) or 'the root'}"
    packages = [p for p in _items(_toml(path, content), "package") if _at(p, "source") is None]
    for name in sorted(crate.name for crate in crates if crate.released):
        mine = [package for package in packages if _at(package, "name") == name]
        for package in mine or [None]:
            version = _text(package, "version")
            problem = "" if version else f"{path} does not hold {name}"
            yield VersionEntry(f"{path} {name}", Ecosystem.CARGO, version, problem=problem, fix=fix)


def _cargo_fix(path: str) -> str:
    return f'set version = "{{wanted}}" in {path}, then run `cargo update --workspace`'


# Python.


def _pyproject(path: str, content: bytes, _files: Files) -> Iterator[VersionEntry]:
    data = _toml(path, content)
    fix = f'set version = "{{wanted}}" in {path}'
    dynamic = "version" in _texts(data, "project", "dynamic")
    if version := _text(data, "project", "version"):
        yield VersionEntry(f"{path} [project]", Ecosystem.PEP440, version, fix=fix)
    poetry = _text(data, "tool", "poetry", "version")
    if _at(data, "tool", "poetry-dynamic-versioning", "enable") is True:
        dynamic, poetry = True, None
    if poetry:
        yield VersionEntry(f"{path} [tool.poetry]", Ecosystem.PEP440, poetry, fix=fix)
    elif dynamic and not version:
        how = _build_of(data)
        fix = f"let {how} compute {{wanted}} at the tag"
        yield VersionEntry(f"{path} [project]", Ecosystem.PEP440, None, dynamic=how, fix=fix)


def _build_of(data: Any) -> str:
    """What will compute a dynamic version, by the keys that such tools read."""
    backend = _text(data, "build-system", "build-backend") or "setuptools.build_meta:__legacy__"
    requires = " ".join(_texts(data, "build-system", "requires")).lower().replace("-", "_")
    hatch = _table(data, "tool", "hatch", "version")
    attribute = _table(data, "tool", "setuptools", "dynamic", "version")
    if backend.startswith("maturin"):
        return "maturin (from Cargo.toml)"
    if _text(hatch, "source") == "vcs" or "hatch_vcs" in requires:
        return "hatch-vcs"
    if path := _text(hatch, "path"):
        return f"hatchling (from {path})"
    if "setuptools_scm" in requires or _at(data, "tool", "setuptools_scm") is not None:
        return "setuptools_scm"
    if attribute:
        return "setuptools (from " + ", ".join(f"{key} {value}" for key, value in attribute.items()) + ")"
    if "poetry_dynamic_versioning" in requires:
        return "poetry-dynamic-versioning"
    return backend.partition(".")[0]


def _uv_lock(path: str, content: bytes, files: Files) -> Iterator[VersionEntry]:
    """The workspace's own packages: installed from a folder, and members of the workspace by name."""
    data = _toml(path, content)
    manifest = join(dirname(path), "pyproject.toml")
    project = _text(_toml(manifest, _bytes(manifest, files)), "project", "name")
    names = {_normalized(name) for name in (project, *_texts(data, "manifest", "members")) if name}
    for package in _items(data, "package"):
        name = _text(package, "name") or ""
        local = {"editable", "virtual", "directory", "workspace"} & set(_table(package, "source"))
        if local and _normalized(name) in names:
            version = _text(package, "version")
            dynamic = "" if version else "the build (uv leaves dynamic versions out)"
            fix = f"set the version of {name} to {{wanted}} in its pyproject.toml, then run `uv lock`"
            yield VersionEntry(f"{path} {name}", Ecosystem.PEP440, version, dynamic=dynamic, fix=fix)


def _normalized(name: str) -> str:
    """A project name as packaging.python.org specifications/name-normalization compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _python(path: str, content: bytes, _files: Files) -> Iterator[VersionEntry]:
    """``__version__`` at module level, parsed and never run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes are the file's own business
            module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _Problem(f"{path} is not Python: {error}", f"repair {path}") from error
    for statement in module.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if any(isinstance(target, ast.Name) and target.id == "__version__" for target in targets):
            value = statement.value.value if isinstance(statement.value, ast.Constant) else None
            version = value if isinstance(value, str) else None
            dynamic = "" if version is not None else "code that runs at import"
            fix = f'set __version__ = "{{wanted}}" in {path}'
            yield VersionEntry(f"{path} __version__", Ecosystem.PEP440, version, dynamic=dynamic, fix=fix)


# npm.


def _workspaces(root: str, data: Any, files: Files) -> dict[str, Any]:
    """Path → content of the root's package.json and of those of its workspaces."""
    patterns = _texts(data, "workspaces") or _texts(data, "workspaces", "packages")
    folder = dirname(root)
    without = [normpath(join(folder, pattern[1:])) for pattern in patterns if pattern.startswith("!")]
    found = {root: data}
    for pattern in (normpath(join(folder, p)) for p in patterns if not p.startswith("!")):
        for path in files.glob(join(pattern, "package.json")):
            if not any(fnmatchcase(dirname(path), pattern) for pattern in without):
                found.setdefault(path, _json(path, _bytes(path, files)))
    return found


def _package_json(path: str, content: bytes, files: Files) -> Iterator[VersionEntry]:
    """The package's version, its workspaces' and those in the dependencies between them.

    Peer dependencies are left alone: they say what a package works with, which is meant to be wide.
    """
    packages = _workspaces(path, _json(path, content), files)
    names = {_text(data, "name") for data in packages.values() if _text(data, "version") is not None}
    for at, data in packages.items():
        fix = f'set "version": "{{wanted}}" in {at}, then run `npm install --package-lock-only`'
        version = _text(data, "version")
        if version is not None:
            yield VersionEntry(at, Ecosystem.NPM, version, fix=fix)
        elif _at(data, "private") is not True:
            yield VersionEntry(at, Ecosystem.NPM, None, problem="states no version", fix=fix)
    for at, data in packages.items():
        for kind in ("dependencies", "devDependencies", "optionalDependencies"):
            for name, value in _table(data, kind).items():
                required = _single(value.removeprefix("workspace:"), "=^") if isinstance(value, str) else None
                if required and name in names:
                    fix = f'set "{name}": "{{wanted}}" in {kind} of {at}'
                    yield VersionEntry(f"{at} {kind} {name}", Ecosystem.NPM, required, fix=fix)


def _package_lock(path: str, content: bytes, files: Files) -> Iterator[VersionEntry]:
    """The root's version, which is there twice since lockfileVersion 2, and those of its workspaces."""
    data = _table(_json(path, content))
    manifest = join(dirname(path), "package.json")
    members = _workspaces(manifest, _json(manifest, _bytes(manifest, files)), files)
    fix = f"set the version in {manifest}, then run `npm install --package-lock-only` in {dirname(path) or 'the root'}"
    stating = [member for member in members if _text(members[member], "version") is not None]
    places = [(path, data)] if manifest in stating else []
    for member in stating if "packages" in data else ():
        key = "" if member == manifest else relpath(dirname(member), dirname(path) or ".")
        places.append((f'{path} packages["{key}"]', _at(data, "packages", key)))
    for where, place in places:
        version = _text(place, "version")
        problem = "" if version is not None else f"{where} states no version"
        yield VersionEntry(where, Ecosystem.NPM, version, problem=problem, fix=fix)


# The rest.


def _stateless(path: str, _content: bytes, _files: Files) -> Iterator[VersionEntry]:
    fix = f"take {path} out of [version] lockstep in the policy"
    yield VersionEntry(path, Ecosystem.SEMVER, None, dynamic="states no version of its own", fix=fix)


def _plain(path: str, content: bytes, _files: Files) -> Iterator[VersionEntry]:
    """A file that is one line, and that line the version, kept as it is found."""
    fix = f"make {{wanted}} the one line of {path}"
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise _Problem(f"{path} is not UTF-8 text", fix) from error
    stated = [line.strip() for line in lines if line.strip()]
    if len(stated) != 1 or len(stated[0]) > 200:
        raise _Problem(f"{path} has {len(stated)} lines where one short line should state the version", fix)
    yield VersionEntry(path, Ecosystem.SEMVER, stated[0], fix=fix)


_Reader = Callable[[str, bytes, Files], Iterable[VersionEntry]]

_PYTHON: Final[tuple[Ecosystem, _Reader]] = (Ecosystem.PEP440, _python)
_PLAIN: Final[tuple[Ecosystem, _Reader]] = (Ecosystem.SEMVER, _plain)
_READERS: Final[Mapping[str, tuple[Ecosystem, _Reader]]] = {
    "Cargo.toml": (Ecosystem.CARGO, _cargo_toml),
    "Cargo.lock": (Ecosystem.CARGO, _cargo_lock),
    "pyproject.toml": (Ecosystem.PEP440, _pyproject),
    "uv.lock": (Ecosystem.PEP440, _uv_lock),
    "poetry.lock": (Ecosystem.PEP440, _stateless),
    "package.json": (Ecosystem.NPM, _package_json),
    "package-lock.json": (Ecosystem.NPM, _package_lock),
    "npm-shrinkwrap.json": (Ecosystem.NPM, _package_lock),
    "pnpm-lock.yaml": (Ecosystem.NPM, _stateless),
    "yarn.lock": (Ecosystem.NPM, _stateless),
}
