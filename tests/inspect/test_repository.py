"""A repository is read whole and exactly, and cannot make us run or believe anything."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from releaser.errors import ConfigError
from releaser.inspect.repository import MAX_FILE, Repository
from releaser.model.facts import Tag, Unobserved
from releaser.model.version import Version

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Ada"), ("DATE", "1700000000 +0000"))
    },
    "GIT_AUTHOR_EMAIL": "author@example.invalid",
    "GIT_COMMITTER_EMAIL": "tagger@example.invalid",
}
Content = str | bytes | Path


class Work:
    """A repository with a work tree, driven by the real git."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *arguments: str, text: str = "") -> str:
        command = ["git", "-C", str(self.path), *arguments]
        return (
            subprocess.run(command, env=ENVIRONMENT, input=text.encode(), stdout=subprocess.PIPE, check=True)
            .stdout.decode()
            .strip()
        )

    def commit(self, **files: Content) -> str:
        """Commit *files*, whose ``__`` is a slash; a Path is a symbolic link to it."""
        return self.commit_files({name.replace("__", "/"): content for name, content in files.items()})

    def commit_files(self, files: dict[str, Content]) -> str:
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                file.symlink_to(content)
            else:
                file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=change")
        return self.git("rev-parse", "HEAD")

    def tree_commit(self, tree: str) -> str:
        return self.git("commit-tree", "-m", "made by hand", tree)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


def refusal(code: str) -> pytest.RaisesExc[ConfigError]:
    return pytest.RaisesExc(ConfigError, check=lambda error: error.code == code and bool(error.hint))


def version_of(tag: str) -> Version | None:
    return Version.parse(tag[1:]) if tag.startswith("v") else None


# Opening.


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with refusal("repository-missing"):
        Repository(tmp_path / "nothing")


def test_a_shallow_clone_is_refused_with_the_way_out(work: Work, tmp_path: Path) -> None:
    work.commit(a="1")
    work.commit(a="2")
    work.git("clone", "--quiet", "--depth=1", work.path.as_uri(), str(tmp_path / "shallow"))
    with refusal("repository-shallow") as caught:
        Repository(tmp_path / "shallow")
    assert "git fetch --unshallow --tags" in caught.value.hint
    assert "fetch-depth: 0" in caught.value.hint


def test_a_missing_git_is_named(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with refusal("git-missing"):
        Repository(work.path)


@pytest.mark.parametrize("kind", ["clone", "bare", "worktree", "sha256"])
def test_every_kind_of_repository_shows_the_same(kind: str, tmp_path: Path) -> None:
    work = Work(tmp_path / "work", *(["--object-format=sha256"] if kind == "sha256" else []))
    commit = work.commit(VERSION="1.0.0\n", a__b__c="deep")
    work.git("tag", "v1.0.0")
    there = tmp_path / "there"
    match kind:
        case "bare":
            work.git("clone", "--quiet", "--bare", str(work.path), str(there))
        case "worktree":
            work.git("worktree", "add", "--quiet", "--detach", str(there))
        case _:
            work.git("clone", "--quiet", str(work.path), str(there))
    repository = Repository(there)
    assert repository.tag("v1.0.0") == Tag("v1.0.0", commit, commit, annotated=False)
    assert repository.branches_containing(commit) == ("main",)
    assert repository.file("a/b/c", commit) == b"deep"
    assert repository.default_branch() == "main"
    assert repository.commit_of("main") == commit


def test_an_empty_repository_has_nothing(work: Work) -> None:
    repository = Repository(work.path)
    assert repository.tags() == ()
    assert repository.tag("v1.0.0") is None
    with refusal("default-branch-unknown"):
        repository.default_branch()
    with refusal("branch-missing"):
        repository.commit_of("main")


# Tags.


def test_an_annotated_tag_is_peeled_and_shows_its_tagger(work: Work) -> None:
    commit = work.commit(a="1")
    work.git("tag", "--annotate", "--message=first", "inner")
    work.git(
        "-c", "advice.nestedTag=false", "tag", "--annotate", "--message=object 1\n\ntagger <x@y>", "outer", "inner"
    )
    repository = Repository(work.path)
    for name in ("inner", "outer"):
        assert repository.tag(name) == Tag(
            name, work.git("rev-parse", f"refs/tags/{name}"), commit, annotated=True, tagger="tagger@example.invalid"
        )


def test_a_tag_is_found_by_its_whole_name_only(work: Work) -> None:
    commit = work.commit(a="1")
    work.git("tag", "v1.0.0")
    work.git("tag", "nested/v2.0.0")
    work.git("branch", "v3.0.0")
    repository = Repository(work.path)
    assert repository.tags() == ("nested/v2.0.0", "v1.0.0")
    for name in (
        "v2.0.0",
        "v3.0.0",
        "V1.0.0",
        "tags/v1.0.0",
        "refs/tags/v1.0.0",
        "v1",
        "main",
        "HEAD",
        commit,
        commit[:8],
    ):
        assert repository.tag(name) is None, name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-v1.0.0",
        "--all",
        "v1.0.0^{commit}",
        "v1.0.0~0",
        "@",
        "v1.0.0:a",
        "v*",
        "a..b",
        "v1 0",
        "a\nb",
        "a\0b",
        "\udcff",
        "x/",
    ],
)
def test_names_that_git_could_take_for_more_are_absent(work: Work, name: str) -> None:
    work.commit(a="1")
    work.git("tag", "v1.0.0")
    assert Repository(work.path).tag(name) is None


def test_a_tag_may_be_called_like_anything_and_shadows_nothing(work: Work) -> None:
    first = work.commit(a="1")
    for name in ("main", "refs/heads/main", "HEAD", "v1.0.0$(touch${IFS}x)"):
        work.git("update-ref", f"refs/tags/{name}", first)
    second = work.commit(a="2")
    repository = Repository(work.path)
    tag = repository.tag("v1.0.0$(touch${IFS}x)")
    assert tag is not None
    assert tag.commit == first
    assert repository.commit_of("main") == second
    assert repository.branches_containing(second) == ("main",)


def test_bytes_that_are_no_text_are_shown_escaped_and_not_found_by_the_escape(work: Work) -> None:
    commit = work.commit(a="1")
    (work.path / ".git" / "packed-refs").write_bytes(commit.encode() + b" refs/tags/v1\xff\n")
    repository = Repository(work.path)
    assert repository.tags() == ("v1\\xff",)
    assert repository.tag("v1\\xff") is None


@pytest.mark.parametrize("annotated", [True, False], ids=["annotated", "lightweight"])
@pytest.mark.parametrize("target", ["HEAD^{tree}", "HEAD:a"])
def test_a_tag_of_something_else_than_a_commit_is_refused(work: Work, target: str, annotated: bool) -> None:
    work.commit(a="1")
    work.git("tag", *(["--annotate", "--message=x"] if annotated else []), "v1.0.0", target)
    with refusal("tag-not-a-commit") as caught:
        Repository(work.path).tag("v1.0.0")
    assert work.git("rev-parse", target) in caught.value.found


def test_a_tag_object_made_by_hand_cannot_name_a_ref(work: Work) -> None:
    work.commit(a="1")
    text = "object HEAD\ntype commit\ntag v1.0.0\ntagger Ada <a@b> 1700000000 +0000\n\nx\n"
    tag = work.git("hash-object", "-t", "tag", "-w", "--literally", "--stdin", text=text)
    (work.path / ".git" / "refs" / "tags" / "v1.0.0").write_text(tag + "\n")
    with refusal("object-missing"):
        Repository(work.path).tag("v1.0.0")


# Branches.


def test_branches_are_those_that_hold_the_commit(work: Work) -> None:
    first = work.commit(a="1")
    work.git("branch", "release/1.x")
    second = work.commit(a="2")
    work.git("checkout", "--quiet", "--detach")
    loose = work.commit(a="3")
    repository = Repository(work.path)
    assert repository.branches_containing(first) == ("main", "release/1.x")
    assert repository.branches_containing(second) == ("main",)
    assert repository.branches_containing(loose) == ()


def test_origin_decides_about_branches_once_it_is_known(work: Work, tmp_path: Path) -> None:
    work.commit(a="1")
    work.git("branch", "prerelease/1.x")
    work.git("clone", "--quiet", str(work.path), str(tmp_path / "clone"))
    clone = Work.__new__(Work)
    clone.path = tmp_path / "clone"
    published = clone.git("rev-parse", "HEAD")
    unpublished = clone.commit(a="2")
    repository = Repository(clone.path)
    assert repository.branches_containing(published) == ("main", "prerelease/1.x")
    assert repository.branches_containing(unpublished) == ()
    assert repository.commit_of("main") == published


@pytest.mark.parametrize(
    ("branches", "head", "origin_head", "wanted"),
    [
        (["main", "master", "next"], "next", None, "main"),
        (["master", "next"], "next", None, "master"),
        (["next", "other"], "next", None, "next"),
        (["origin/main", "origin/next"], "main", "next", "next"),
        (["origin/main", "origin/next"], "main", None, "main"),
        (["origin/main", "origin/next"], "main", "gone", "main"),
    ],
    ids=["main", "master", "checked out", "origin says", "origin does not say", "origin points nowhere"],
)
def test_the_default_branch(work: Work, branches: list[str], head: str, origin_head: str | None, wanted: str) -> None:
    work.git("checkout", "--quiet", "-b", "first")
    commit = work.commit(a="1")
    for name in branches:
        full = f"refs/remotes/{name}" if name.startswith("origin/") else f"refs/heads/{name}"
        work.git("update-ref", full, commit)
    work.git("symbolic-ref", "HEAD", f"refs/heads/{head}")
    work.git("update-ref", "-d", "refs/heads/first")
    if origin_head:
        work.git("symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{origin_head}")
    assert Repository(work.path).default_branch() == wanted


def test_a_branch_is_no_expression(work: Work) -> None:
    work.commit(a="1")
    with refusal("branch-missing"):
        Repository(work.path).commit_of("main~0")


@pytest.mark.parametrize("commit", ["HEAD", "main", "--all", "0" * 39, "A" * 40, ""])
def test_only_object_ids_name_commits(work: Work, commit: str) -> None:
    work.commit(a="1")
    repository = Repository(work.path)
    with pytest.raises(ConfigError, match="object id"):
        repository.branches_containing(commit)
    with pytest.raises(ConfigError, match="object id"):
        repository.file("a", commit)


# Files.


def test_files_are_found_by_exact_path(work: Work) -> None:
    commit = work.commit(VERSION="1.0.0\n", a__VERSION=b"\0\xff", empty="")
    repository = Repository(work.path)
    assert repository.file("VERSION", commit) == b"1.0.0\n"
    assert repository.file("a/VERSION", commit) == b"\0\xff"
    assert repository.file("empty", commit) == b""
    for path in ("", "a", "a/", "/VERSION", "./VERSION", "a/../VERSION", "VERSION/x", "version", "VERSION*", "b"):
        assert repository.file(path, commit) is None, path


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("VERSION*", ("VERSION", "VERSION.txt")),
        ("*/Cargo.toml", ("crates/Cargo.toml", "tools/Cargo.toml")),
        ("crates/*/Cargo.toml", ("crates/a/Cargo.toml", "crates/b/Cargo.toml")),
        ("crates/[a]/*", ("crates/a/Cargo.toml",)),
        ("crates/?/Cargo.toml", ("crates/a/Cargo.toml", "crates/b/Cargo.toml")),
        ("**/Cargo.toml", ("crates/Cargo.toml", "crates/a/Cargo.toml", "crates/b/Cargo.toml", "tools/Cargo.toml")),
        ("crates/**/Cargo.toml", ("crates/Cargo.toml", "crates/a/Cargo.toml", "crates/b/Cargo.toml")),
        ("VERSION", ("VERSION",)),
        ("version*", ()),
        ("crates", ()),
        ("crates/*/*/Cargo.toml", ()),
        ("nothing/*", ()),
        ("../*", ()),
    ],
)
def test_patterns_match_segment_by_segment(work: Work, pattern: str, wanted: tuple[str, ...]) -> None:
    names = [
        "VERSION",
        "VERSION.txt",
        "crates/Cargo.toml",
        "crates/a/Cargo.toml",
        "crates/b/Cargo.toml",
        "tools/Cargo.toml",
    ]
    commit = work.commit_files(dict.fromkeys(names, "x"))
    assert Repository(work.path).glob(pattern, commit) == wanted


def test_the_commit_is_read_not_the_work_tree(work: Work) -> None:
    first = work.commit(VERSION="1.0.0\n")
    second = work.commit(VERSION="2.0.0\n")
    (work.path / "VERSION").write_text("3.0.0\n")
    repository = Repository(work.path)
    assert [repository.file("VERSION", commit) for commit in (first, second)] == [b"1.0.0\n", b"2.0.0\n"]


def test_links_and_submodules_are_not_followed(work: Work) -> None:
    commit = work.commit(target="1.0.0\n", VERSION=Path("target"), real__VERSION="1", link=Path("real"))
    work.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor")
    commit = work.tree_commit(work.git("write-tree"))
    repository = Repository(work.path)
    for path, kind in (
        ("VERSION", "symbolic link"),
        ("link/VERSION", "symbolic link"),
        ("vendor/VERSION", "submodule"),
    ):
        with refusal("file-unreadable") as caught:
            repository.file(path, commit)
        assert caught.value.found == kind
    assert repository.glob("*/VERSION", commit) == ("real/VERSION",)
    assert repository.glob("V*", commit) == ("VERSION",)


def test_a_file_beyond_the_limit_is_refused_and_the_next_one_read(work: Work) -> None:
    commit = work.commit(big=b"\0" * (MAX_FILE + 1), fits=b"\0" * MAX_FILE, small="1")
    repository = Repository(work.path)
    with refusal("file-unreadable") as caught:
        repository.file("big", commit)
    assert caught.value.object == "big"
    assert caught.value.found == f"{MAX_FILE + 1} bytes"
    assert repository.file("small", commit) == b"1"
    assert len(repository.file("fits", commit) or b"") == MAX_FILE


def test_endless_folders_end_the_search(work: Work) -> None:
    tree = work.git("mktree", text="")
    for _ in range(6):
        tree = work.git("mktree", text="".join(f"040000 tree {tree}\t{name}\n" for name in "abcdefgh"))
    commit = work.tree_commit(tree)
    with refusal("file-unreadable"):
        Repository(work.path).glob("**/VERSION", commit)


def test_a_very_deep_folder_ends_the_search(work: Work) -> None:
    commit = work.commit_files({"d/" * 70 + "VERSION": "1"})
    repository = Repository(work.path)
    with refusal("file-unreadable"):
        repository.glob("**/VERSION", commit)
    assert repository.file("d/" * 70 + "VERSION", commit) == b"1"


def test_a_tree_that_is_not_in_gits_form_is_refused(work: Work) -> None:
    tree = work.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", text="100644 VERSION")
    commit = work.git(
        "hash-object", "-t", "commit", "-w", "--literally", "--stdin", text=f"tree {tree}\n\nmade by hand\n"
    )
    with refusal("file-unreadable"):
        Repository(work.path).file("VERSION", commit)


def test_threads_share_one_repository(work: Work) -> None:
    files: dict[str, Content] = {f"d{n % 7}/f{n}": f"content {n}" * n for n in range(60)}
    commit = work.commit_files(files)
    repository = Repository(work.path)
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda name: repository.file(name, commit), files))
    assert read == [str(content).encode() for content in files.values()]


# What a hostile repository tries.


def test_no_missing_object_is_fetched(work: Work, tmp_path: Path) -> None:
    commit = work.commit(VERSION="1.0.0\n")
    blob = work.git("rev-parse", "HEAD:VERSION")
    (work.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    started = tmp_path / "started"
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::touch {started}",
        "protocol.ext.allow": "always",
        "protocol.allow": "always",
    }.items():
        work.git("config", key, value)
    with pytest.raises(subprocess.CalledProcessError):
        work.git("cat-file", "-p", blob)
    assert started.exists(), "git itself starts the program that the configuration names"
    started.unlink()
    with refusal("object-missing"):
        Repository(work.path).file("VERSION", commit)
    assert not started.exists()


def test_replaced_and_grafted_history_is_not_believed(work: Work) -> None:
    tagged = work.commit(VERSION="1.0.0\n")
    work.git("tag", "v1.0.0")
    work.git("checkout", "--quiet", "--orphan", "other")
    other = work.commit(VERSION="6.6.6\n")
    work.git("branch", "--force", "main", other)
    work.git("branch", "--force", "holder", tagged)
    work.git("replace", tagged, other)
    (work.path / ".git" / "info").mkdir(exist_ok=True)
    (work.path / ".git" / "info" / "grafts").write_text(f"{other} {tagged}\n")
    repository = Repository(work.path)
    assert repository.file("VERSION", tagged) == b"1.0.0\n"
    assert repository.branches_containing(tagged) == ("holder",)


@pytest.mark.parametrize(
    "variables", [{"GIT_DIR": "other/.git"}, {"GIT_OBJECT_DIRECTORY": "other/.git/objects"}, {"GIT_NAMESPACE": "x"}]
)
def test_inherited_variables_do_not_redirect(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    commit = work.commit(VERSION="1.0.0\n")
    work.git("tag", "v1.0.0")
    Work(tmp_path / "other").commit(VERSION="6.6.6\n")
    for key, value in variables.items():
        monkeypatch.setenv(key, str(tmp_path / value) if "/" in value else value)
    repository = Repository(work.path)
    assert repository.tags() == ("v1.0.0",)
    assert repository.file("VERSION", commit) == b"1.0.0\n"


# The remote.


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("https://example.invalid/replicate/cog", "replicate/cog"),
        ("https://example.invalid/replicate/cog.git", "replicate/cog"),
        ("https://example.invalid:8443/replicate/cog.git/", "replicate/cog"),
        ("https://x-access-token:secret@example.invalid/replicate/cog.git", "replicate/cog"),
        ("ssh://git@example.invalid:22/replicate/cog.git", "replicate/cog"),
        ("git@example.invalid:replicate/cog.git", "replicate/cog"),
        ("example.invalid:replicate/my.tool", "replicate/my.tool"),
        ("git@example.invalid:group/sub/cog.git", None),
        ("https://example.invalid/cog", None),
        ("https://example.invalid/a/b c", None),
        ("/srv/git/cog.git", None),
        ("../replicate/cog", None),
        ("file:///replicate/cog.git", None),
        ("C:/replicate/cog", None),
        ("ext::sh -c x/y", None),
        ("https://[example.invalid/replicate/cog", None),
        (None, None),
    ],
)
def test_the_remote_repository(work: Work, address: str | None, wanted: str | None) -> None:
    if address:
        work.git("config", "remote.origin.url", address)
    assert Repository(work.path).remote_repository() == wanted


# Everything together.


def test_the_source_of_a_release(work: Work) -> None:
    manifest = '[project]\nname = "x"\nversion = "{}"\n'
    work.commit_files({"VERSION": "0.9.0\n", "pyproject.toml": manifest.format("0.9.0")})
    for name in ("v0.9.0", "nightly", "v1", "v1.0.0-rc.1"):
        work.git("tag", name)
    commit = work.commit_files({"VERSION": "1.0.0\n", "pyproject.toml": manifest.format("1.0.1")})
    work.git("tag", "v1.0.0")
    repository = Repository(work.path)
    tag = repository.tag("v1.0.0")
    assert tag is not None
    source = repository.source(
        tag, ["VERSION", "pyproject.toml", "VERSION*", "VERSION", "gone.txt", "none*"], version_of
    )
    assert source.tag == Tag("v1.0.0", commit, commit, annotated=False)
    assert source.branches == ("main",)
    assert source.released == (Version.parse("0.9.0"), Version.parse("1.0.0-rc.1"))
    assert not isinstance(source.versions, Unobserved)
    assert [(entry.object, entry.found, bool(entry.problem)) for entry in source.versions] == [
        ("VERSION", "1.0.0", False),
        ("pyproject.toml [project]", "1.0.1", False),
        ("gone.txt", None, True),
    ]


def test_a_linked_manifest_is_a_problem(work: Work) -> None:
    work.commit(real="1.0.0\n", VERSION=Path("real"))
    work.git("tag", "v1.0.0")
    repository = Repository(work.path)
    tag = repository.tag("v1.0.0")
    assert tag is not None
    source = repository.source(tag, ["VERSION*"], version_of)
    assert not isinstance(source.versions, Unobserved)
    (entry,) = source.versions
    assert entry.found is None
    assert "symbolic link" in entry.problem


def test_a_revision_is_a_commit(work: Work) -> None:
    commit = work.commit(VERSION="1.0.0\n")
    repository = Repository(work.path)
    assert repository.revision("HEAD") == commit
    assert repository.revision("main") == commit
    assert repository.revision(commit[:12]) == commit
    for wrong in ("nowhere", "--help", "HEAD:VERSION", "HEAD~5"):
        with pytest.raises(ConfigError) as caught:
            repository.revision(wrong)
        assert caught.value.code == "revision-missing"
