"""What a manifest states is found in every form it can take, and what cannot be read is said, never skipped."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from releaser.errors import ConfigError
from releaser.inspect.versions import read_versions
from releaser.model.facts import VersionEntry
from releaser.model.spelling import Ecosystem


class Tree:
    """Files in memory."""

    def __init__(self, files: dict[str, str | bytes], broken: str = "") -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.broken = broken

    def file(self, path: str) -> bytes | None:
        if path == self.broken:
            raise ConfigError("file-unreadable", "it is a symbolic link", object=path, hint="commit a file")
        return self.files.get(path)

    def glob(self, pattern: str) -> tuple[str, ...]:
        wanted = pattern.split("/")
        return tuple(path for path in sorted(self.files) if _fits(path.split("/"), wanted))


def _fits(path: list[str], wanted: list[str]) -> bool:
    return len(path) == len(wanted) and all(fnmatchcase(name, part) for name, part in zip(path, wanted, strict=True))


def read(pattern: str, files: dict[str, str | bytes], broken: str = "") -> tuple[VersionEntry, ...]:
    return read_versions(pattern, Tree(files, broken))


def stated(pattern: str, files: dict[str, str | bytes]) -> dict[str, str | None]:
    """Where → which version, for files without a problem."""
    entries = read(pattern, files)
    assert [entry.problem for entry in entries] == [""] * len(entries)
    assert all(entry.fix for entry in entries)
    assert len({entry.object for entry in entries}) == len(entries)
    return {entry.object: entry.found for entry in entries}


def problem(pattern: str, files: dict[str, str | bytes]) -> VersionEntry:
    (entry,) = read(pattern, files)
    assert entry.problem
    assert entry.fix
    assert entry.found is None
    return entry


# Paths and patterns.


def test_a_missing_file_is_a_problem_and_an_idle_pattern_is_nothing() -> None:
    assert "does not exist" in problem("crates/Cargo.toml", {}).problem
    assert read("VERSION*", {}) == ()


def test_a_pattern_reads_each_match_by_its_own_name() -> None:
    files: dict[str, str | bytes] = {
        "a/pyproject.toml": '[project]\nname = "a"\nversion = "1.0.0"\n',
        "b/pyproject.toml": '[project]\nname = "b"\nversion = "1.0.1"\n',
        "c/d/pyproject.toml": "",
    }
    assert stated("*/pyproject.toml", files) == {
        "a/pyproject.toml [project]": "1.0.0",
        "b/pyproject.toml [project]": "1.0.1",
    }


def test_a_path_may_be_written_with_dots() -> None:
    assert stated("./a/../VERSION", {"VERSION": "1.0.0\n"}) == {"VERSION": "1.0.0"}


def test_a_file_that_cannot_be_read_is_a_problem() -> None:
    (entry,) = read("VERSION", {"VERSION": "1.0.0"}, broken="VERSION")
    assert (entry.found, entry.problem, entry.fix) == (None, "it is a symbolic link", "commit a file")


def test_a_member_that_cannot_be_read_is_a_problem_beside_what_was_read() -> None:
    files: dict[str, str | bytes] = {
        "Cargo.toml": '[workspace]\nmembers = ["a"]\n[workspace.package]\nversion = "1.0.0"\n',
        "a/Cargo.toml": "",
    }
    first, second = read("Cargo.toml", files, broken="a/Cargo.toml")
    assert first.found == "1.0.0"
    assert second.problem == "it is a symbolic link"


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("Cargo.toml", "[package", "not TOML"),
        ("Cargo.toml", b"\xff", "not TOML"),
        ("Cargo.toml", "a = " + "[" * 5000, "not TOML"),
        ("Cargo.toml", "a." * 3000 + "a = 1", "a key of more than 32 parts"),
        ("Cargo.toml", f"[{'a.' * 40}a]\nb = 1", "a key of more than 32 parts"),
        ("Cargo.toml", "", "states no version"),
        ("Cargo.toml", "[workspace]\n", "states no version"),
        ("Cargo.toml", '[package]\nname = "a"\n', "states no version"),
        ("Cargo.toml", "[package]\nversion = 1\n", "states no version"),
        ("Cargo.toml", 'package = "a"\n', "states no version"),
        ("Cargo.toml", "workspace = 1\n", "states no version"),
        ("Cargo.toml", "[package]\nversion.workspace = true\n", "no Cargo.toml above it has [workspace]"),
        ("Cargo.toml", '[workspace]\nmembers = ["gone"]\n', "gone/Cargo.toml does not exist"),
        ("Cargo.lock", "version = 3\n", "Cargo.toml does not exist"),
        ("pyproject.toml", "[project", "not TOML"),
        ("pyproject.toml", '[project]\nname = "a"\n', "states no version"),
        ("pyproject.toml", "project = []\n", "states no version"),
        ("uv.lock", "version = 1\n", "pyproject.toml does not exist"),
        ("package.json", "{", "not JSON"),
        ("package.json", "[]", "states no version"),
        ("package.json", '{"version": 1}', "states no version"),
        ("package.json", '{"name": "a"}', "states no version"),
        ("package.json", '{"version": "1.0.0", "version": "2.0.0"}', "twice"),
        ("package.json", "[" * 100_000, "not JSON"),
        ("package-lock.json", "{}", "package.json does not exist"),
        ("a.py", "def", "not Python"),
        ("a.py", b"\0", "not Python"),
        ("a.py", "(" * 5000, "not Python"),
        ("a.py", "x = 1\n", "states no version"),
        ("VERSION", "", "0 lines"),
        ("VERSION", "1.0.0\n2.0.0\n", "2 lines"),
        ("VERSION", b"\xff\xfe", "not UTF-8"),
        ("VERSION", "1" * 1000, "short"),
        ("settings.yaml", "a: 1\nversion: 1.0.0\n", "2 lines"),
    ],
)
def test_what_cannot_be_understood_is_a_problem(name: str, content: str | bytes, wanted: str) -> None:
    entry = problem(name, {name: content})
    assert entry.object == name
    assert wanted in entry.problem


DOTS = "a." * 50


@pytest.mark.parametrize(
    "value",
    [f'"{DOTS}"', f"'{DOTS}'", f'"""\n{DOTS}""""', f"'''{DOTS}''''", f'"\\"{DOTS}"', f'""  # {DOTS}'],
    ids=["basic", "literal", "multi-line basic", "multi-line literal", "escaped quote", "comment"],
)
def test_dots_in_toml_strings_and_comments_part_no_keys(value: str) -> None:
    text = f'[package]\ndescription = {value}\nversion = "1.2.3"\n'
    assert stated("Cargo.toml", {"Cargo.toml": text}) == {"Cargo.toml [package]": "1.2.3"}


# Cargo.

WORKSPACE = """
[workspace]
members = ["coglet", "bindings/*", "./tools/"]
exclude = ["bindings/skipped"]
[workspace.package]
version = "0.17.0"
[workspace.dependencies]
tokio = { version = "1.0.0", features = ["full"] }
coglet = { path = "coglet", version = "=0.17.0" }
tools = { path = "tools", version = "9.9.9" }
"""
CRATES: dict[str, str | bytes] = {
    "crates/Cargo.toml": WORKSPACE,
    "crates/coglet/Cargo.toml": '[package]\nname = "coglet"\nversion.workspace = true\n',
    "crates/bindings/python/Cargo.toml": """
[package]
name = "coglet-python"
version = "0.16.9"
[dependencies]
coglet_core = { path = "../../coglet", package = "coglet", version = "^0.16.9" }
[target.'cfg(unix)'.build-dependencies]
coglet = { path = "../../coglet", version = "0.16" }
auto = { path = "../../auto", version = "0.16.8" }
""",
    "crates/bindings/skipped/Cargo.toml": '[package]\nname = "skipped"\nversion = "6.6.6"\n',
    "crates/tools/Cargo.toml": '[package]\nname = "tools"\nversion = "9.9.9"\npublish = false\n',
    "crates/auto/Cargo.toml": '[package]\nname = "auto"\nversion = "0.16.7"\n',
    "crates/stranger/Cargo.toml": '[package]\nname = "stranger"\nversion = "5.0.0"\n',
}


def test_a_workspace_states_its_version_its_members_and_the_requirements_between_them() -> None:
    assert stated("crates/Cargo.toml", CRATES) == {
        "crates/Cargo.toml [workspace.package]": "0.17.0",
        "crates/bindings/python/Cargo.toml [package]": "0.16.9",
        "crates/auto/Cargo.toml [package]": "0.16.7",
        "crates/Cargo.toml [workspace.dependencies] coglet": "0.17.0",
        "crates/bindings/python/Cargo.toml [dependencies] coglet_core": "0.16.9",
        "crates/bindings/python/Cargo.toml [build-dependencies] auto": "0.16.8",
    }


def test_a_member_states_its_own_version_or_the_one_above() -> None:
    assert stated("crates/auto/Cargo.toml", CRATES) == {"crates/auto/Cargo.toml [package]": "0.16.7"}
    (entry,) = read("crates/coglet/Cargo.toml", CRATES)
    assert entry.object == "crates/coglet/Cargo.toml [package] version.workspace"
    assert entry.found == "0.17.0"
    assert "crates/Cargo.toml" in entry.fix


def test_a_member_may_name_its_workspace() -> None:
    files: dict[str, str | bytes] = {
        "a/Cargo.toml": '[package]\nname = "a"\nworkspace = "../root"\nversion.workspace = true\n',
        "root/Cargo.toml": '[workspace]\nmembers = ["../a"]\n[workspace.package]\nversion = "1.0.0"\n',
        "Cargo.toml": '[workspace]\n[workspace.package]\nversion = "6.6.6"\n',
    }
    assert stated("a/Cargo.toml", files) == {"a/Cargo.toml [package] version.workspace": "1.0.0"}


def test_a_workspace_without_the_inherited_version_is_a_problem() -> None:
    files: dict[str, str | bytes] = {
        "Cargo.toml": '[workspace]\nmembers = ["a"]\n',
        "a/Cargo.toml": '[package]\nname = "a"\nversion.workspace = true\n',
    }
    assert "to inherit" in problem("a/Cargo.toml", files).problem


def test_a_root_package_takes_part_with_its_path_dependencies() -> None:
    files: dict[str, str | bytes] = {
        "Cargo.toml": '[package]\nname = "tool"\nversion = "1.0.0"\n[workspace]\n'
        '[dependencies]\nlib = { path = "lib", version = "1.0.0" }\n',
        "lib/Cargo.toml": '[package]\nname = "lib"\nversion = "1.0.1"\n[dependencies]\nout = { path = "../../out" }\n',
    }
    assert stated("Cargo.toml", files) == {
        "Cargo.toml [package]": "1.0.0",
        "lib/Cargo.toml [package]": "1.0.1",
        "Cargo.toml [dependencies] lib": "1.0.0",
    }


def test_a_package_states_its_version() -> None:
    (entry,) = read("Cargo.toml", {"Cargo.toml": '[package]\nname = "a"\nversion = "1.0.0"\n'})
    assert entry == VersionEntry(
        "Cargo.toml [package]",
        Ecosystem.CARGO,
        "1.0.0",
        fix='set version = "{wanted}" in Cargo.toml, then run `cargo update --workspace`',
    )


LOCK = """
version = 4
[[package]]
name = "coglet"
version = "0.17.0"
[[package]]
name = "coglet"
version = "0.1.0"
source = "registry+https://example.invalid/index"
[[package]]
name = "coglet-python"
version = "0.16.9"
[[package]]
name = "tools"
version = "9.9.9"
[[package]]
name = "stranger"
version = "5.0.0"
"""


def test_a_cargo_lock_states_the_workspaces_own_packages() -> None:
    entries = read("crates/Cargo.lock", CRATES | {"crates/Cargo.lock": LOCK})
    assert [(entry.object, entry.found, entry.problem) for entry in entries] == [
        ("crates/Cargo.lock auto", None, "crates/Cargo.lock does not hold auto"),
        ("crates/Cargo.lock coglet", "0.17.0", ""),
        ("crates/Cargo.lock coglet-python", "0.16.9", ""),
    ]
    assert all("cargo update --workspace" in entry.fix for entry in entries)


def test_a_cargo_lock_of_a_single_package() -> None:
    files: dict[str, str | bytes] = {
        "Cargo.toml": '[package]\nname = "a"\nversion = "1.0.0"\n',
        "Cargo.lock": '[[package]]\nname = "a"\nversion = "0.9.0"\n',
    }
    assert stated("Cargo.lock", files) == {"Cargo.lock a": "0.9.0"}


# Python.


def test_a_project_states_its_version() -> None:
    (entry,) = read("pyproject.toml", {"pyproject.toml": '[project]\nname = "a"\nversion = "1.0.0a1"\n'})
    assert entry == VersionEntry(
        "pyproject.toml [project]", Ecosystem.PEP440, "1.0.0a1", fix='set version = "{wanted}" in pyproject.toml'
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('[tool.poetry]\nversion = "1.0.0"\n', {"pyproject.toml [tool.poetry]": "1.0.0"}),
        (
            '[project]\nversion = "1.0.0"\n[tool.poetry]\nversion = "1.0.1"\n',
            {"pyproject.toml [project]": "1.0.0", "pyproject.toml [tool.poetry]": "1.0.1"},
        ),
        (
            '[project]\ndynamic = ["version"]\n[tool.poetry]\nversion = "1.0.1"\n',
            {"pyproject.toml [tool.poetry]": "1.0.1"},
        ),
    ],
    ids=["poetry", "both", "project leaves it to poetry"],
)
def test_poetry_states_a_version_of_its_own(text: str, wanted: dict[str, str]) -> None:
    assert stated("pyproject.toml", {"pyproject.toml": text}) == wanted


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (
            'requires = ["setuptools", "setuptools_scm[toml]"]\nbuild-backend = "setuptools.build_meta"',
            "setuptools_scm",
        ),
        ('requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n[tool.setuptools_scm]', "setuptools_scm"),
        ('requires = ["hatchling", "hatch-vcs"]\nbuild-backend = "hatchling.build"', "hatch-vcs"),
        (
            'requires = ["hatchling"]\nbuild-backend = "hatchling.build"\n[tool.hatch.version]\npath = "a/__init__.py"',
            "hatchling (from a/__init__.py)",
        ),
        ('requires = ["maturin>=1"]\nbuild-backend = "maturin"', "maturin (from Cargo.toml)"),
        (
            'requires = ["setuptools"]\n[tool.setuptools.dynamic]\nversion = { attr = "a.__version__" }',
            "setuptools (from attr a.__version__)",
        ),
        (
            'requires = ["poetry-core", "poetry-dynamic-versioning"]\n'
            'build-backend = "poetry_dynamic_versioning.backend"\n'
            '[tool.poetry]\nversion = "0.0.0"\n[tool.poetry-dynamic-versioning]\nenable = true',
            "poetry-dynamic-versioning",
        ),
        ('requires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"', "flit_core"),
    ],
)
def test_a_dynamic_version_names_what_will_compute_it(build: str, wanted: str) -> None:
    text = f'[project]\nname = "a"\ndynamic = ["version"]\n[build-system]\n{build}\n'
    (entry,) = read("pyproject.toml", {"pyproject.toml": text})
    assert (entry.object, entry.found, entry.dynamic, entry.problem) == ("pyproject.toml [project]", None, wanted, "")


def test_a_uv_lock_states_the_workspaces_own_packages() -> None:
    files: dict[str, str | bytes] = {
        "pyproject.toml": '[project]\nname = "My_Root"\nversion = "1.0.0"\n',
        "uv.lock": """
version = 1
[manifest]
members = ["my-root", "worker", "api"]
[[package]]
name = "my-root"
version = "0.9.0"
source = { virtual = "." }
[[package]]
name = "api"
source = { editable = "packages/api" }
[[package]]
name = "worker"
version = "1.0.0"
source = { editable = "packages/worker" }
[[package]]
name = "worker"
version = "3.0.0"
source = { registry = "https://example.invalid/simple" }
[[package]]
name = "vendored"
version = "4.0.0"
source = { editable = "vendored" }
""",
    }
    entries = read("uv.lock", files)
    assert [(entry.object, entry.found, bool(entry.dynamic)) for entry in entries] == [
        ("uv.lock my-root", "0.9.0", False),
        ("uv.lock api", None, True),
        ("uv.lock worker", "1.0.0", False),
    ]
    assert all("uv lock" in entry.fix for entry in entries)


def test_a_uv_lock_without_the_project_is_a_problem() -> None:
    problem("uv.lock", {"uv.lock": "version = 1\n", "pyproject.toml": '[project]\nname = "a"\n'})


@pytest.mark.parametrize(
    ("text", "found", "dynamic"),
    [
        ('"""Doc."""\n__version__ = "1.0.0"\n', "1.0.0", False),
        ("__version__: str = '1.0.0'\n", "1.0.0", False),
        ('version = __version__ = "1.0.0"\n', "1.0.0", False),
        ("from x import v\n__version__ = v()\n", None, True),
        ('__version__ = "1." + "0"\n', None, True),
        ('pattern = "\\d"\n__version__ = "1.0.0"\n', "1.0.0", False),
    ],
)
def test_python_is_parsed_and_never_run(text: str, found: str | None, dynamic: bool) -> None:
    (entry,) = read("a/_version.py", {"a/_version.py": text + "raise SystemExit\n"})
    assert (entry.object, entry.found, bool(entry.dynamic)) == ("a/_version.py __version__", found, dynamic)
    assert entry.problem == ""


# npm.

PACKAGES: dict[str, str | bytes] = {
    "package.json": '{"name": "root", "private": true, "workspaces": ["packages/*", "!packages/skipped", "gone/*"]}',
    "packages/sdk/package.json": '{"name": "@x/sdk", "version": "1.0.0"}',
    "packages/app/package.json": """{"name": "app", "version": "1.0.1", "private": true,
        "dependencies": {"@x/sdk": "^1.0.0", "left-pad": "1.3.0"},
        "devDependencies": {"@x/sdk": "workspace:0.9.0"},
        "optionalDependencies": {"@x/sdk": ">=1"},
        "peerDependencies": {"@x/sdk": "0.1.0"}}""",
    "packages/site/package.json": '{"name": "site", "private": true, "dependencies": {"app": "workspace:*"}}',
    "packages/skipped/package.json": '{"name": "skipped", "version": "6.6.6"}',
}


def test_npm_workspaces_state_their_versions_and_the_requirements_between_them() -> None:
    assert stated("package.json", PACKAGES) == {
        "packages/app/package.json": "1.0.1",
        "packages/sdk/package.json": "1.0.0",
        "packages/app/package.json dependencies @x/sdk": "1.0.0",
        "packages/app/package.json devDependencies @x/sdk": "0.9.0",
    }


def test_npm_workspaces_may_be_an_object_and_below_a_folder() -> None:
    files: dict[str, str | bytes] = {
        "js/package.json": '\ufeff{"name": "root", "version": "1.0.0", "workspaces": {"packages": ["./a"]}}',
        "js/a/package.json": '{"name": "a"}',
    }
    first, second = read("js/package.json", files)
    assert first == VersionEntry("js/package.json", Ecosystem.NPM, "1.0.0", fix=first.fix)
    assert (second.object, second.found, second.problem) == ("js/a/package.json", None, "states no version")


def test_a_package_lock_states_the_version_twice_and_its_workspaces() -> None:
    files: dict[str, str | bytes] = {
        "js/package.json": '{"name": "root", "version": "1.0.0", "workspaces": ["packages/*"]}',
        "js/packages/a/package.json": '{"name": "a", "version": "1.0.0"}',
        "js/packages/b/package.json": '{"name": "b", "version": "1.0.0"}',
        "js/packages/c/package.json": '{"name": "c", "private": true}',
        "js/package-lock.json": """{"version": "0.8.0", "lockfileVersion": 3, "packages": {
            "": {"version": "0.9.0"}, "packages/a": {"version": "0.7.0"}, "packages/c": {},
            "vendored": {"version": "4.0.0"}, "node_modules/x": {"version": "3.0.0"}}}""",
    }
    entries = read("js/package-lock.json", files)
    assert [(entry.object, entry.found, bool(entry.problem)) for entry in entries] == [
        ("js/package-lock.json", "0.8.0", False),
        ('js/package-lock.json packages[""]', "0.9.0", False),
        ('js/package-lock.json packages["packages/a"]', "0.7.0", False),
        ('js/package-lock.json packages["packages/b"]', None, True),
    ]


@pytest.mark.parametrize("name", ["package-lock.json", "npm-shrinkwrap.json"])
def test_an_old_lockfile_states_the_version_once(name: str) -> None:
    files: dict[str, str | bytes] = {
        "package.json": '{"name": "a", "version": "1.0.0"}',
        name: '{"version": "0.9.0", "lockfileVersion": 1}',
    }
    assert stated(name, files) == {name: "0.9.0"}


# The rest.


@pytest.mark.parametrize("name", ["pnpm-lock.yaml", "yarn.lock", "poetry.lock"])
def test_some_lockfiles_state_no_version(name: str) -> None:
    (entry,) = read(name, {name: "anything"})
    assert (entry.found, entry.dynamic, entry.problem) == (None, "states no version of its own", "")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("1.0.0\n", "1.0.0"),
        ("1.0.0", "1.0.0"),
        ("1.0.0\r\n\r\n", "1.0.0"),
        ("v1.0.0\n", "v1.0.0"),
        ("1.0 .0", "1.0 .0"),
    ],
    ids=["newline", "bare", "windows", "v is kept", "inner space is kept"],
)
@pytest.mark.parametrize("name", ["VERSION", "VERSION.txt", "version.txt", "a/RELEASE"])
def test_a_plain_file_is_its_version(name: str, content: str, found: str) -> None:
    (entry,) = read(name, {name: content})
    assert entry == VersionEntry(name, Ecosystem.SEMVER, found, fix=f"make {{wanted}} the one line of {name}")
