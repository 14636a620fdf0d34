"""Bad input, and the world left as it was: every refusal through the command line, with its words and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from releaser.errors import Exit
from releaser.model.document import canonical_json
from releaser.model.version import Version
from releaser.rehearsal.sample import POLICY, REPOSITORY, build
from tests.faces.stage import QUICK, Ran, Stage, recompressed, rewheel, succeed

WHEEL = "ternlet-0.9.0-py3-none-manylinux_2_17_x86_64.whl"
SDK = "tern-0.9.0-py3-none-any.whl"
CRATE = "ternlet-0.9.0.crate"
NPM = "harbor-tern-0.9.0.tgz"
BINARY = "tern_Linux_x86_64"
POLICY_FILE = ".github/releaser.toml"
EVIDENCE = ("error: ", "  object ", "  found  ", "  wanted ", "hint: ")
Given = Callable[[Stage], object]


def nothing(_: Stage) -> None:
    """The world as it is."""


def parts(ran: Ran) -> Mapping[str, str]:
    """The error at the end of stderr, by the label of each line."""
    lines = ran.err[ran.err.rindex("error: ") :].splitlines()
    return {label: line.removeprefix(label) for line in lines for label in EVIDENCE if line.startswith(label)}


# -- what no gate lets through ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blocked:
    """A repository or a build that one gate must refuse: which row, what it found and wanted."""

    id: str
    given: Given
    gate: str
    object: str
    found: str
    wanted: str
    exit: Exit = Exit.REFUSED


def edited(path: str, old: str, new: str) -> Given:
    def given(stage: Stage) -> None:
        text = stage.text(path)
        assert old in text
        stage.commit({path: text.replace(old, new)})
        stage.retag()

    return given


def built(name: str, old: str = "", new: str = "", extra: Mapping[str, str] | None = None) -> Given:
    def given(stage: Stage) -> None:
        path = stage.dist / name
        path.write_bytes(rewheel(path, old, new, extra))

    return given


def taken(registry: str, package: str, name: str) -> Given:
    """Somebody else published other bytes under one of our names."""

    def given(stage: Stage) -> None:
        path = stage.dist / name
        data = rewheel(path, extra={"ternlet/more.py": ""}) if name.endswith(".whl") else recompressed(path)
        stage.seed(registry, package, name, data)

    return given


def on_a_topic_branch(stage: Stage) -> None:
    stage.git("checkout", "--quiet", "-b", "topic")
    stage.commit({}, branch="topic")
    stage.retag()


def foreign_wheel(stage: Stage) -> None:
    stage.seed("pypi", "ternlet", "ternlet-0.9.0-py3-none-win_amd64.whl", rewheel(stage.dist / WHEEL))


def wheel_of_the_next_version(stage: Stage) -> None:
    (stage.dist / WHEEL).unlink()
    build(Version.parse("0.9.1"), stage.home)
    for file in stage.home.iterdir():
        if file.name == WHEEL.replace("0.9.0", "0.9.1"):
            file.rename(stage.dist / file.name)


def no_pyproject(stage: Stage) -> None:
    stage.commit({"pyproject.toml": None})
    stage.retag()


def check_failed(stage: Stage) -> None:
    stage.world.github.set_check(REPOSITORY, stage.git("rev-parse", "HEAD"), "ci-complete", "failure")


def moved_at_the_forge(stage: Stage) -> None:
    stage.commit({})
    stage.git("push", "--quiet", "--force", "origin", f"HEAD:refs/tags/{stage.tag}")


def next_lockfile(stage: Stage) -> None:
    edited("crates/Cargo.lock", 'version = "0.9.0"', 'version = "0.9.1"')(stage)


BLOCKED = [
    Blocked("a tag on a branch of no channel", on_a_topic_branch, "branch", "v0.9.0", "topic", "main"),
    Blocked("a tag moved at the forge", moved_at_the_forge, "tag", "v0.9.0", "at the forge", "on"),
    Blocked("a red check", check_failed, "checks", "ci-complete", "failure", "success or skipped"),
    Blocked(
        "another version in the source of truth",
        edited("crates/Cargo.toml", '"0.9.0"', '"0.9.1"'),
        "lockstep",
        "crates/Cargo.toml [workspace.package]",
        "0.9.1",
        "0.9.0",
    ),
    Blocked(
        "another version in Cargo.lock", next_lockfile, "lockstep", "crates/Cargo.lock ternlet", "0.9.1", "0.9.0"
    ),
    Blocked(
        "another version in pyproject.toml",
        edited("pyproject.toml", 'version = "0.9.0"', 'version = "0.9.0.post1"'),
        "lockstep",
        "pyproject.toml [project]",
        "0.9.0.post1",
        "0.9.0",
    ),
    Blocked(
        "another version in package.json",
        edited("package.json", '"0.9.0"', '"0.9"'),
        "lockstep",
        "package.json",
        "0.9",
        "0.9.0",
    ),
    Blocked(
        "another version in VERSION.txt", edited("VERSION.txt", "0.9.0", "0.8.0"), "lockstep", "VERSION.txt", "0.8.0",
        "0.9.0",
    ),
    Blocked(
        "a manifest that is gone",
        no_pyproject,
        "lockstep",
        "pyproject.toml",
        "does not exist",
        "0.9.0",
    ),
    Blocked(
        "a missing artifact",
        lambda s: (s.dist / WHEEL).unlink(),
        "artifacts",
        "ternlet-wheels: manylinux*_x86_64",
        "macosx",
        "manylinux*_x86_64",
    ),
    Blocked(
        "an extra artifact",
        lambda s: (s.dist / "install.sh").write_text("curl | sh\n"),
        "artifacts",
        "install.sh",
        "install.sh",
        "no such file",
    ),
    Blocked(
        "an empty artifact",
        lambda s: (s.dist / BINARY).write_text(""),
        "archive",
        BINARY,
        "empty",
        "a plain archive",
    ),
    Blocked(
        "a wheel with another version inside than outside",
        built(WHEEL, "Version: 0.9.0", "Version: 0.9.1"),
        "archive",
        WHEEL,
        "version '0.9.1'",
        "a plain archive",
    ),
    Blocked(
        "a wheel of another package inside than outside",
        built(WHEEL, "Name: ternlet", "Name: ternlets"),
        "archive",
        WHEEL,
        "'ternlets'",
        "a plain archive",
    ),
    Blocked(
        "a wheel of the next version",
        wheel_of_the_next_version,
        "metadata",
        WHEEL.replace("0.9.0", "0.9.1"),
        "ternlet 0.9.1",
        "0.9.0",
    ),
    Blocked(
        "a wheel that requires more than the release's constraint",
        built(SDK, "ternlet>=0.9.0,<1.0", "ternlet>=0.9.0,<2.0"),
        "metadata",
        SDK,
        "<2.0",
        "ternlet<1.0,>=0.9.0",
    ),
    Blocked(
        "a wheel without the constraint",
        built(SDK, "Requires-Dist: ternlet>=0.9.0,<1.0\n", ""),
        "metadata",
        SDK,
        "no requirement on ternlet",
        "ternlet<1.0,>=0.9.0",
    ),
    Blocked(
        "a wheel with a way out of its folder",
        built(WHEEL, extra={"../../evil.pth": "import os\n"}),
        "archive",
        WHEEL,
        "../../evil.pth",
        "a plain archive",
    ),
    Blocked(
        "other bytes on the Python index", taken("pypi", "ternlet", WHEEL), "world", "ternlet-pypi", WHEEL,
        "only our bytes", Exit.CONFLICT,
    ),
    Blocked(
        "other bytes on the crate registry", taken("crates.io", "ternlet", CRATE), "world", "ternlet-crate", CRATE,
        "only our bytes", Exit.CONFLICT,
    ),
    Blocked(
        "other bytes on the npm registry", taken("npm", "@harbor/tern", NPM), "world", "client", NPM,
        "only our bytes", Exit.CONFLICT,
    ),
    Blocked(
        "a file on the Python index that nobody built", foreign_wheel, "world", "ternlet-pypi", "win_amd64",
        "only our bytes", Exit.CONFLICT,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", BLOCKED, ids=lambda row: row.id)
def test_a_gate_refuses_and_nothing_is_written(stage: Stage, row: Blocked) -> None:
    row.given(stage)
    before = stage.effects(), stage.kept()
    planned = stage.plan("--format", "json")
    assert planned.code == row.exit, planned.said
    rows = planned.json()["gates"]
    (refused,) = (r for r in rows if (r["name"], r["object"], r["status"]) == (row.gate, row.object, "fail"))
    assert row.found in refused["found"]
    assert row.wanted in refused["wanted"]
    assert refused["reason"]
    assert refused["hint"]
    shown = stage.plan()
    assert shown.code == row.exit
    assert "REFUSED" in shown.out
    assert all(refused[part] in shown.out for part in ("reason", "found", "wanted", "hint"))
    assembled = stage.assemble()
    if row.gate != "world":  # a conflict may be over by the time of publication; it is for `publish` to refuse
        assert assembled.code == Exit.REFUSED
        assert "by gate" in assembled.err
        assert set(parts(assembled)) == set(EVIDENCE)
        assert (stage.effects(), stage.kept()) == before
    assert stage.effects() == before[0]


@pytest.mark.parametrize("row", [b for b in BLOCKED if b.gate == "world"], ids=lambda row: row.id)
def test_a_conflict_stops_an_approved_release_before_the_first_effect(stage: Stage, row: Blocked) -> None:
    stage.draft().approve()
    row.given(stage)
    before = stage.effects(), stage.kept()
    ran = stage.publish()
    assert ran.code == Exit.CONFLICT, ran.said
    assert row.found in parts(ran)["  found  "]
    assert set(parts(ran)) == set(EVIDENCE)
    assert (stage.effects(), stage.kept()) == before
    assert stage.status()["state"] == "needs human"


# -- names of tags ------------------------------------------------------------------------------------------------

NAMES = {
    "unknown": "v9.9.9",
    "command substitution": "v1.0.0$(id)",
    "semicolon": "v1.0.0;id",
    "backticks": "v1.0.0`id`",
    "pipe and quotes": "v1.0.0|\"'id'",
    "workflow expression": "v1.0.0${{x}}",
    "fullwidth digits": "v\uff11.0.0",
    "bidirectional override": "v1.0.0\u202egpj",
    "newline and a workflow command": "v1.0.0\n::error::x",
    "escape sequence": "v1.0.0\x1b[31m",
    "old workflow command": "v1.0.0##[error]x",
    "bytes that are no text": "v1.0.0\udcff",
    "a branch's full name": "refs/heads/main",
    "65 characters": "v1.0.0-" + "a" * 58,
    "leading zero": "v01.0.0",
    "no version": "nightly",
    "nothing": "",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("command", ["plan", "assemble", "status", "draft", "approve", "reject", "publish"])
def test_a_strange_tag_is_refused_by_every_command_and_shown_escaped(strange: Stage, command: str, name: str) -> None:
    options = {
        "plan": ("--artifacts", str(strange.dist)),
        "assemble": ("--artifacts", str(strange.dist)),
        "draft": ("--artifacts", str(strange.dist)),
        "approve": ("--digest", strange.digest),
        "reject": ("--digest", strange.digest),
        "publish": ("--ledger", str(strange.ledger)),
        "status": (),
    }
    before = strange.effects(), strange.kept()
    ran = strange.run(command, *options[command], "--", name)
    assert ran.code == (Exit.REFUSED if name and command != "draft" else Exit.USAGE), ran.said
    assert all(line.isprintable() for line in ran.said.splitlines())
    assert not [line for line in ran.said.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in ran.said
    if command != "plan" or not name:
        assert set(parts(ran)) == set(EVIDENCE)
    assert (strange.effects(), strange.kept()) == before


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A drafted release beside tags with every strange name that git accepts."""
    with Stage(tmp_path_factory.mktemp("strange")) as stage:
        stage.draft()
        head = stage.git("rev-parse", "HEAD")
        for name in NAMES.values():
            ref = os.fsencode(f"refs/tags/{name}")
            if name != NAMES["unknown"]:
                subprocess.run(["git", "update-ref", ref, head], cwd=stage.checkout, capture_output=True, check=False)
        made = stage.git("for-each-ref", "--format=%(refname)", "refs/tags").splitlines()
        assert f"refs/tags/{NAMES['command substitution']}" in made
        yield stage


def test_a_tag_that_looks_like_an_option_is_no_option(strange: Stage) -> None:
    before = strange.effects(), strange.kept()
    bare = strange.run("plan", "-v1.0.0")
    assert bare.code == Exit.USAGE
    assert set(parts(bare)) == set(EVIDENCE)
    assert strange.run("plan", "--", "-v1.0.0").code == Exit.REFUSED
    assert (strange.effects(), strange.kept()) == before


# -- what cannot be used, or may not be done ----------------------------------------------------------------------


@dataclass(frozen=True)
class Refused:
    """A command that ends with an error: its code, and words of its object, found, wanted and hint."""

    id: str
    command: str
    exit: Exit
    code: str
    object: str
    found: str
    wanted: str
    hint: str
    given: Given = nothing
    by: str = "job"
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, stage: Stage) -> Ran:
        digest = stage.digest if "{digest}" in self.command else ""
        words = {"tag": stage.tag, "dist": stage.dist, "digest": digest, "ledger": stage.ledger, "home": stage.home}
        quick = QUICK if self.command.startswith("publish") else ()
        return stage.run(*(w.format(**words) for w in self.command.split()), *quick, by=self.by, **self.environ)


PLAN, ASSEMBLE, DRAFT = (f"{command} {{tag}} --artifacts {{dist}}" for command in ("plan", "assemble", "draft"))
APPROVE, REJECT = (f"{command} {{tag}} --digest {{digest}}" for command in ("approve", "reject"))
PUBLISH = "publish {tag} --ledger {ledger}"
OTHER = "sha256:" + "0" * 64


def shallow(stage: Stage) -> None:
    bare = stage.world.github.repository(REPOSITORY).git.path
    stage.git("clone", "--quiet", "--depth", "1", f"file://{bare}", str(stage.home / "shallow"))


def policy_with(old: str, new: str) -> Given:
    return lambda stage: stage.commit({POLICY_FILE: stage.text(POLICY_FILE).replace(old, new)})


def typo_for_trial(stage: Stage) -> None:
    (stage.home / "trial.toml").write_text(POLICY.replace("[checks]", "[cheks]"))


def tagger(stage: Stage) -> None:
    stage.people["tagger"] = {
        **stage.people["reviewer-one"],
        "GITHUB_TOKEN": stage.world.github.add_user("tagger", 501),
    }


def started_by_reviewer_one(stage: Stage) -> None:
    succeed(stage.assemble(GITHUB_ACTOR="reviewer-one", GITHUB_ACTOR_ID="502"))
    succeed(stage.run("draft", stage.tag, "--artifacts", str(stage.dist)))


def rejected(stage: Stage) -> None:
    succeed(stage.run("reject", stage.tag, "--digest", stage.digest, by="reviewer-two"))


def handmade(change: Callable[[dict[str, object]], object], *, canonical: bool = True) -> Given:
    """release.json changed by hand, in the artifacts folder."""

    def given(stage: Stage) -> None:
        path = stage.dist / "release.json"
        value = json.loads(path.read_bytes())
        change(value)
        path.write_bytes(canonical_json(value) if canonical else json.dumps(value, indent=1).encode())

    return given


def widened(stage: Stage) -> None:
    """A draft whose release.json also sends the wheel to another package."""
    succeed(stage.assemble())
    manifest = json.loads((stage.dist / "release.json").read_bytes())
    extra = {**manifest["publications"][-1], "id": "more", "package": "terns"}
    handmade(lambda value: value["publications"].append(extra))(stage)  # type: ignore[attr-defined]
    sums = (stage.dist / "SHA256SUMS").read_text().splitlines()
    kept = [line for line in sums if not line.endswith(" release.json")]
    kept.append(f"{stage.digest.removeprefix('sha256:')}  release.json")
    (stage.dist / "SHA256SUMS").write_text("\n".join(sorted(kept, key=lambda k: k.split("  ")[1])) + "\n")
    succeed(stage.run("draft", stage.tag, "--artifacts", str(stage.dist)))


def no_publisher_for_npm(stage: Stage) -> None:
    stage.world.npm.trust("@harbor/tern", REPOSITORY, "another.yml", "release")


def no_publisher_for_the_index(stage: Stage) -> None:
    stage.world.oidc.claims |= {"environment": "staging"}


def tagged(_: Stage) -> None:
    """Where the sample begins."""


def assembled(stage: Stage) -> None:
    succeed(stage.assemble())


def drafted(stage: Stage) -> None:
    stage.draft()


def approved(stage: Stage) -> None:
    stage.draft().approve()


def special(make: Callable[[Path], object], name: str = BINARY) -> Given:
    def given(stage: Stage) -> None:
        (stage.dist / name).unlink()
        make(stage.dist / name)

    return given


TAGGED = [
    Refused(
        "a shallow clone", PLAN + " --repo {home}/shallow", Exit.USAGE, "repository-shallow",
        "shallow", "a shallow clone", "whole history", "git fetch --unshallow", shallow,
    ),
    Refused(
        "a folder that is no repository", PLAN + " --repo {home}", Exit.USAGE, "repository-missing",
        "home", "not a git repository", "a git repository", "--repo",
    ),
    Refused(
        "a commit that is not there", "plan v1.0.0 --at nowhere", Exit.USAGE, "revision-missing",
        "nowhere", "", "a commit", "git",
    ),
    Refused(
        "a mistyped key in the policy", PLAN, Exit.USAGE, "policy-invalid",
        POLICY_FILE, "unknown key 'cheks'", "checks", "did you mean 'checks'?", policy_with("[checks]", "[cheks]"),
    ),
    Refused(
        "a mistyped key in a trial policy", PLAN + " --policy {home}/trial.toml", Exit.USAGE, "policy-invalid",
        "trial.toml", "unknown key 'cheks'", "checks", "did you mean 'checks'?", typo_for_trial,
    ),
    Refused(
        "a trial policy that is not there", PLAN + " --policy {home}/none.toml", Exit.USAGE, "policy-missing",
        "none.toml", "No such file", "a policy file", "releaser schema policy",
    ),
    Refused(
        "a policy that is not TOML", PLAN, Exit.USAGE, "policy-syntax",
        POLICY_FILE, "line", "TOML", f"edit {POLICY_FILE}", policy_with("[checks]", "[checks"),
    ),
    Refused(
        "no policy on the default branch", ASSEMBLE, Exit.USAGE, "policy-missing",
        f"main:{POLICY_FILE}", "no such file", "default branch", f"commit {POLICY_FILE} to main",
        lambda s: s.commit({POLICY_FILE: None}),
    ),
    Refused(
        "no artifacts folder", "assemble {tag} --artifacts {home}/none", Exit.USAGE, "artifact-unreadable",
        "none", "No such file", "something to read", "check that it exists",
    ),
    Refused(
        "a symbolic link among the artifacts", ASSEMBLE, Exit.USAGE, "artifact-not-regular",
        BINARY, "l", "a regular file", "side by side", special(lambda p: p.symlink_to("/etc/hostname")),
    ),
    Refused(
        "a folder among the artifacts", ASSEMBLE, Exit.USAGE, "artifact-not-regular",
        BINARY, "d", "a regular file", "side by side", special(Path.mkdir),
    ),
    Refused(
        "a pipe among the artifacts", ASSEMBLE, Exit.USAGE, "artifact-not-regular",
        BINARY, "p", "a regular file", "side by side", special(os.mkfifo),
    ),
    Refused(
        "an artifact with a workflow command in its name", ASSEMBLE, Exit.USAGE, "artifact-name",
        "'x\\n::error::y'", "'x\\n::error::y'", "A-Z a-z 0-9", "rename the file",
        lambda s: (s.dist / "x\n::error::y").write_text("x"),
    ),
    Refused(
        "a draft of nothing", DRAFT, Exit.USAGE, "manifest-missing",
        "release.json", "no such file", "releaser assemble", "releaser assemble v0.9.0",
    ),
    Refused(
        "a pipe in place of release.json", DRAFT, Exit.USAGE, "manifest-missing",
        "release.json", "no such file", "releaser assemble", "releaser assemble v0.9.0",
        lambda s: os.mkfifo(s.dist / "release.json"),
    ),
    Refused(
        "a decision about a release that is not there", f"approve {{tag}} --digest {OTHER}", Exit.REFUSED,
        "release-missing", "v0.9.0", "no draft", "a draft with release.json", "releaser draft v0.9.0",
        by="reviewer-one",
    ),
    Refused(
        "a status of nothing", "status {tag}", Exit.REFUSED, "release-missing",
        "v0.9.0", "no draft", "a draft with release.json", "releaser draft v0.9.0",
    ),
    Refused(
        "a repository that nobody named", "status {tag}", Exit.USAGE, "repository-unknown",
        "checkout", "no --repository", "OWNER/NAME", "--repository OWNER/NAME", environ={"GITHUB_REPOSITORY": ""},
    ),
    Refused(
        "a token that nobody knows", PUBLISH, Exit.OUTSIDE, "forge-unauthorized",
        REPOSITORY, "Bad credentials", "", "GITHUB_TOKEN", environ={"GITHUB_TOKEN": "ghp_" + "0" * 36},
    ),
    Refused(
        "a ledger that is not there", "ledger verify {tag} --ledger {home}/none.jsonl", Exit.USAGE, "ledger-missing",
        "none.jsonl", "no record", "what a run", "--ledger",
    ),
    Refused(
        "a number of seconds that is none", PUBLISH + " --poll soon", Exit.USAGE, "usage",
        "releaser publish", "--poll", "--poll SECONDS", "releaser publish --help",
    ),
    Refused(
        "a command that does not exist", "plam {tag}", Exit.USAGE, "usage",
        "releaser", "plam", "COMMAND", "releaser --help",
    ),
]  # fmt: skip

ASSEMBLED = [
    Refused(
        "an artifact that changed since", DRAFT, Exit.CONFLICT, "artifact-changed",
        BINARY, "sha256:", "sha256:", "releaser assemble v0.9.0", lambda s: (s.dist / BINARY).write_text("other"),
    ),
    Refused(
        "an artifact that went away since", DRAFT, Exit.CONFLICT, "artifact-changed",
        BINARY, "no such file", "sha256:", "releaser assemble v0.9.0", lambda s: (s.dist / BINARY).unlink(),
    ),
    Refused(
        "SHA256SUMS edited by hand", DRAFT, Exit.CONFLICT, "artifact-changed",
        "SHA256SUMS", "sha256:", "sha256:", "releaser assemble", lambda s: (s.dist / "SHA256SUMS").write_text("x\n"),
    ),
    Refused(
        "no SHA256SUMS", DRAFT, Exit.CONFLICT, "artifact-changed",
        "SHA256SUMS", "no such file", "sha256:", "releaser assemble", lambda s: (s.dist / "SHA256SUMS").unlink(),
    ),
    Refused(
        "release.json reformatted by hand", DRAFT, Exit.USAGE, "document-not-canonical",
        "release.json", "sha256:", "sha256:", "releaser assemble", handmade(lambda v: v, canonical=False),
    ),
    Refused(
        "release.json with a key of one's own", DRAFT, Exit.USAGE, "document-invalid",
        "approved", "not permitted", "", "do not edit it", handmade(lambda v: v.update(approved=True)),
    ),
    Refused(
        "release.json of another tag", "draft v0.9.1 --artifacts {dist}", Exit.USAGE, "manifest-foreign",
        "release.json", "v0.9.0", "v0.9.1", "releaser assemble v0.9.1",
    ),
    Refused(
        "a draft under pull_request_target", DRAFT, Exit.REFUSED, "event-refused",
        "GITHUB_EVENT_NAME", "pull_request_target", "workflow_dispatch", "start the workflow",
        environ={"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target"},
    ),
]  # fmt: skip

UNAPPROVED = Refused(
    "publication without approval", PUBLISH, Exit.WAITING, "gate-approval",
    "v0.9.0", "0/2 approvals", "2 of team:harbor/maintainers", "releaser approve v0.9.0 --digest sha256:",
)  # fmt: skip

DRAFTED = [
    Refused(
        "an approval of an older digest", f"approve {{tag}} --digest {OTHER}", Exit.REFUSED, "approval-stale",
        "v0.9.0", "sha256:", OTHER, "releaser status v0.9.0", by="reviewer-one",
    ),
    Refused(
        "a digest that is none", "approve {tag} --digest e93e72f5663f", Exit.USAGE, "digest-invalid",
        "--digest", "e93e72f5663f", "64 hexadecimal digits", "releaser status", by="reviewer-one",
    ),
    Refused(
        "the tagger's approval", APPROVE, Exit.REFUSED, "approval-refused",
        "v0.9.0", "tagger tagged this release", "team:harbor/maintainers", "somebody else", tagger, "tagger",
    ),
    Refused(
        "an approval by somebody outside the team", APPROVE, Exit.REFUSED, "approval-refused",
        "v0.9.0", "eve is not an approver", "team:harbor/maintainers", "somebody else",
        lambda s: s.person("eve", 601, member=False), "eve",
    ),
    Refused(
        "an approval by a bot in the team", APPROVE, Exit.REFUSED, "approval-refused",
        "v0.9.0", "helper is not a person", "team:harbor/maintainers", "somebody else",
        lambda s: s.person("helper", 602, kind="Bot"), "helper",
    ),
    Refused(
        "an approval by the job itself", APPROVE, Exit.REFUSED, "approval-refused",
        "v0.9.0", "github-actions[bot] is not", "team:harbor/maintainers", "somebody else",
    ),
    Refused(
        "an approval after a rejection", APPROVE, Exit.REFUSED, "release-rejected",
        "v0.9.0", "a rejection", "none", "a rejection is final", rejected, "reviewer-one",
    ),
    Refused(
        "an approval after the policy was changed", APPROVE, Exit.REFUSED, "approval-policy-changed",
        POLICY_FILE, "sha256:", "sha256:", "releaser assemble", policy_with("quorum = 2", "quorum = 1"),
        "reviewer-one",
    ),
    Refused(
        "an approval of a draft with a swapped file", APPROVE, Exit.CONFLICT, "asset-conflict",
        BINARY, "sha256:", "sha256:", "delete the draft", lambda s: s.swap(BINARY, b"other"), "reviewer-one",
    ),
    Refused(
        "an approval of a draft with an extra file", APPROVE, Exit.CONFLICT, "asset-extra",
        "more.sh", "more.sh", "release.json", "delete the file", lambda s: s.swap("more.sh", b"x"), "reviewer-one",
    ),
    Refused(
        "a second draft over other bytes", DRAFT, Exit.CONFLICT, "asset-conflict",
        BINARY, "sha256:", "sha256:", "delete the draft", lambda s: s.swap(BINARY, b"other"),
    ),
    Refused(
        "a note beyond measure", APPROVE + " --note " + "x" * 2001, Exit.USAGE, "note-too-long",
        "--note", "2001", "2000", "shorten", by="reviewer-one",
    ),
    UNAPPROVED,
    Refused(
        "publication after a rejection", PUBLISH, Exit.REFUSED, "gate-approval",
        "v0.9.0", "a rejection", "none", "a rejection is final", rejected,
    ),
    Refused(
        "publication by a bare person's token", PUBLISH, Exit.WAITING, "gate-approval",
        "v0.9.0", "0/2 approvals", "2 of", "releaser approve", by="reviewer-one",
    ),
]  # fmt: skip

APPROVED = [
    Refused(
        "publication after the policy was changed", PUBLISH, Exit.REFUSED, "gate-approval",
        POLICY_FILE, "sha256:", "sha256:", "put the old policy back", policy_with("quorum = 2", "quorum = 1"),
    ),
    Refused(
        "publication after the policy went away", PUBLISH, Exit.USAGE, "policy-missing",
        f"main:{POLICY_FILE}", "no such file", "the policy", f"commit {POLICY_FILE}",
        lambda s: s.commit({POLICY_FILE: None}),
    ),
    Refused(
        "publication after the tag was moved", PUBLISH, Exit.REFUSED, "gate-tag",
        "v0.9.0", "at the forge", "on", "choose a new version", moved_at_the_forge,
    ),
    Refused(
        "publication after the check turned red", PUBLISH, Exit.REFUSED, "gate-checks",
        "ci-complete", "failure", "success", "gh run list", check_failed,
    ),
    Refused(
        "publication after an approver left the team", PUBLISH, Exit.WAITING, "gate-approval",
        "v0.9.0", "1/2 approvals", "2 of", "releaser approve",
        lambda s: s.world.github.add_team("harbor/maintainers", ["tagger", "reviewer-one"]),
    ),
    Refused(
        "publication of a swapped file", PUBLISH, Exit.CONFLICT, "asset-conflict",
        BINARY, "sha256:", "sha256:", "draft again", lambda s: s.swap(BINARY, b"other"),
    ),
    Refused(
        "publication with an extra file", PUBLISH, Exit.CONFLICT, "asset-extra",
        "more.sh", "more.sh", "release.json", "delete the file", lambda s: s.swap("more.sh", b"x"),
    ),
    Refused(
        "publication with a long-lived token in reach", PUBLISH, Exit.REFUSED, "secret-present",
        "TWINE_PASSWORD", "TWINE_PASSWORD", "OIDC only", "remove TWINE_PASSWORD",
        environ={"TWINE_PASSWORD": "pypi-" + "A" * 40},
    ),
    Refused(
        "publication under pull_request_target", PUBLISH, Exit.REFUSED, "event-refused",
        "GITHUB_EVENT_NAME", "pull_request_target", "workflow_dispatch", "start the workflow",
        environ={"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target"},
    ),
    Refused(
        "publication in a job that tells no event", PUBLISH, Exit.REFUSED, "event-refused",
        "GITHUB_EVENT_NAME", "nothing", "workflow_dispatch", "start the workflow",
        environ={"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": ""},
    ),
    Refused(
        "publication without an identity", PUBLISH, Exit.USAGE, "identity-missing",
        "ACTIONS_ID_TOKEN_REQUEST_URL", "not set", "GitHub Actions job", "id-token: write",
        environ={"ACTIONS_ID_TOKEN_REQUEST_URL": ""},
    ),
    Refused(
        "publication where one trusted publisher is not registered", PUBLISH, Exit.OUTSIDE,
        "trusted-publisher-refused", "@harbor/tern", "release-publish.yml", "a trusted publisher", "@harbor/tern",
        no_publisher_for_npm,
    ),
    Refused(
        "publication from another environment", PUBLISH, Exit.OUTSIDE, "trusted-publisher-refused",
        "", "environment=staging", "a trusted publisher", "", no_publisher_for_the_index,
    ),
    Refused(
        "publication while another run holds the ledger", PUBLISH, Exit.WAITING, "ledger-held",
        "ledger.jsonl", "a lock", "one run", "wait", lambda s: hold(s.ledger),
    ),
    Refused(
        "publication with a ledger that was edited", PUBLISH, Exit.USAGE, "ledger-broken",
        "ledger.jsonl:1", "no record", "a ledger record", "keep it", lambda s: s.ledger.write_text("{}\n"),
    ),
]  # fmt: skip


def hold(path: Path) -> None:
    """Lock *path* as another process would; the lock goes with the descriptor, at the end of the tests."""
    import fcntl

    fcntl.flock(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX)


def refuse(stage: Stage, row: Refused) -> None:
    row.given(stage)
    before = stage.effects(), stage.kept()
    ran = row.run(stage)
    assert ran.code == row.exit, ran.said
    assert f"[{row.code}]" in ran.err
    said = parts(ran)
    for label, wanted in zip(EVIDENCE[1:], (row.object, row.found, row.wanted, row.hint), strict=True):
        assert said.get(label), f"no {label.strip()}: {ran.err}"
        assert wanted in said[label], ran.err
    assert (stage.effects(), stage.kept()) == before


REFUSED = [
    pytest.param(reach, row, id=f"{reach.__name__}: {row.id}")
    for reach, rows in ((tagged, TAGGED), (assembled, ASSEMBLED), (drafted, DRAFTED), (approved, APPROVED))
    for row in rows
]


@pytest.mark.parametrize(("reach", "row"), REFUSED)
def test_a_refusal_says_what_and_what_next_and_writes_nothing(
    tmp_path: Path, undisturbed: Callable[[Given], Stage], reach: Given, row: Refused
) -> None:
    if row.given is nothing:
        refuse(undisturbed(reach), row)
    else:
        with Stage(tmp_path) as stage:
            reach(stage)
            refuse(stage, row)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Given], Stage]]:
    """One world for each point that a release can have reached, for refusals that need no mischief."""
    made: dict[Given, Stage] = {}
    with ExitStack() as up:

        def at(reach: Given) -> Stage:
            if reach not in made:
                made[reach] = up.enter_context(Stage(tmp_path_factory.mktemp(reach.__name__)))
                reach(made[reach])
            return made[reach]

        yield at


def test_the_one_who_started_the_run_cannot_approve_it(stage: Stage) -> None:
    started_by_reviewer_one(stage)
    row = Refused(
        "", APPROVE, Exit.REFUSED, "approval-refused", "v0.9.0", "reviewer-one started this release",
        "not the tagger or initiator", "somebody else", by="reviewer-one",
    )  # fmt: skip
    refuse(stage, row)


def test_the_one_who_drafted_by_hand_cannot_approve_it(stage: Stage) -> None:
    succeed(stage.assemble())
    succeed(stage.run("draft", stage.tag, "--artifacts", str(stage.dist), by="reviewer-one"))
    row = Refused(
        "", APPROVE, Exit.REFUSED, "approval-refused", "v0.9.0", "put this release's manifest there by hand",
        "not the tagger or initiator", "somebody else", by="reviewer-one",
    )  # fmt: skip
    refuse(stage, row)


@pytest.mark.parametrize(("command", "by"), [(APPROVE, "reviewer-one"), (PUBLISH, "job")], ids=["approve", "publish"])
def test_a_release_json_that_asks_for_more_than_its_policy_is_refused(stage: Stage, command: str, by: str) -> None:
    widened(stage)
    row = Refused(
        "", command, Exit.REFUSED, "manifest-widened", "release.json", "more", "ternlet-pypi", "releaser assemble",
        by=by,
    )  # fmt: skip
    refuse(stage, row)


def test_a_policy_weakened_on_the_tagged_commit_alone_has_no_effect(stage: Stage) -> None:
    strict = stage.text(POLICY_FILE)
    weak = strict.replace("quorum = 2", "quorum = 1").replace('"team:harbor/maintainers"', '"role:write"')
    stage.commit({POLICY_FILE: weak.replace('required = ["ci-complete"]', "required = []")})
    stage.retag()
    stage.commit({POLICY_FILE: strict})
    (row,) = (r for r in stage.plan("--format", "json").json()["gates"] if r["name"] == "approval")
    assert row["reason"].startswith("2 of team:harbor/maintainers")
    refuse(stage.draft(), UNAPPROVED)


def test_drafting_again_after_an_approval_voids_it(stage: Stage) -> None:
    """Other bytes need another draft; what was approved before counts for nothing."""
    stage.draft().approve()
    with stage.forge() as forge:
        (release,) = forge.releases(stage.tag)
        for asset in release.assets:
            if asset.name in (BINARY, "release.json", "SHA256SUMS"):
                forge.remove(asset)
    (stage.dist / BINARY).write_text("rebuilt\n")
    stage.draft()
    assert stage.status()["state"] == "awaiting approval"
    refuse(stage, UNAPPROVED)
