"""The command line's contract: what goes to stdout and stderr, exit codes, documents and their schemas."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from releaser.engine.states import State, next_step
from releaser.errors import Exit
from releaser.faces.cli import COMMANDS, _parser
from releaser.faces.commands.rehearse import _environments, _instructions
from releaser.faces.commands.schema import NAMES
from releaser.model.approval import Approval
from releaser.model.document import Document
from releaser.model.manifest import Manifest
from releaser.model.plan import Plan
from releaser.model.policy import Policy
from releaser.model.status import StatusReport
from releaser.policy.decide import RULES
from tests.faces.stage import Ran, Stage, run, succeed

GOLDEN = Path(__file__).parent / "golden"
GATES = {gate.__name__ for gate in RULES}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A tagged and built release; nothing here changes it."""
    with Stage(tmp_path_factory.mktemp("ready")) as stage:
        yield stage


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A drafted release with one approval of two."""
    with Stage(tmp_path_factory.mktemp("waiting")) as stage:
        yield stage.draft().approve("reviewer-one")


def alone(*arguments: str) -> Ran:
    """A command that needs no world."""
    return run(*arguments, cwd=Path(__file__).parent, environ={})


def scrubbed(text: str) -> str:
    """*text* without what the compressor, the port or the commit's content decide."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", text)
    text = re.sub(r"\b[0-9a-f]{40}\b|\b[0-9a-f]{12}\b", "<commit>", text)
    text = re.sub(r'"size": \d+', '"size": 0', text)
    return re.sub(r" +[0-9.]+ k?B +", " <size> ", text)


# -- help and usage -----------------------------------------------------------------------------------------------


def test_help_lists_every_command_and_every_exit_code() -> None:
    ran = succeed(alone("--help"))
    assert all(f"    {name} " in ran.out for name in COMMANDS)
    assert [line[2] for line in ran.out.partition("exit codes:\n")[2].splitlines()] == [str(int(code)) for code in Exit]
    assert ran.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    ran = succeed(alone(command, "--help"))
    assert ran.out.startswith(f"usage: releaser {command} ")
    undocumented = [line for line in ran.out.splitlines() if re.fullmatch(r"  --[a-z-]+( [A-Z]+)?", line)]
    assert not undocumented


def test_the_installed_version_is_shown() -> None:
    assert re.fullmatch(r"releaser (\d+\.\d+\.\d+\S*|from a source tree)\n", succeed(alone("--version")).out)


@pytest.mark.parametrize(
    "arguments", [(), ("plan",), ("plan", "v1", "v2"), ("plan", "v1", "--no-such"), ("--no-such",)]
)
def test_a_wrong_command_line_is_code_2_and_names_the_help(arguments: tuple[str, ...]) -> None:
    ran = alone(*arguments)
    assert ran.code == Exit.USAGE
    assert ran.out == ""
    assert "--help" in ran.err.splitlines()[-1]


def test_an_unknown_option_is_answered_with_the_usage_of_its_command() -> None:
    ran = alone("plan", "v1.0.0", "--ofline")
    assert "object releaser plan\n  found  unrecognized arguments: --ofline\n  wanted releaser plan [-h]" in ran.err
    assert ran.err.endswith("hint: releaser plan --help\n")


# -- version ------------------------------------------------------------------------------------------------------


def test_a_version_in_every_spelling() -> None:
    ran = succeed(alone("version", "0.17.0-alpha3"))
    assert "pep440      0.17.0a3\n" in ran.out
    assert "cargo       0.17.0-alpha3\n" in ran.out


def test_versions_as_a_document() -> None:
    document = succeed(alone("version", "1.0.0+build", "--format", "json")).json()
    assert document["schema"] == "releaser.version/v1"
    assert document["spellings"]["docker-tag"] == "1.0.0_build"
    refused = {name for name, text in document["spellings"].items() if text is None}
    assert refused == set(document["refused"])
    assert "pep440" in refused


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        (("1.2.3-rc.1", "--to", "pep440"), Exit.DONE, "1.2.3rc1\n"),
        (("1.2.3-foo", "--to", "pep440"), Exit.REFUSED, ""),
        (("1.2", "--to", "pep440"), Exit.USAGE, ""),
        (("1.2.3", "--to", "fortran"), Exit.USAGE, ""),
        (("v1.2.3",), Exit.USAGE, ""),
    ],
)
def test_one_spelling_or_the_reason_why_not(arguments: tuple[str, ...], code: Exit, out: str) -> None:
    ran = alone("version", *arguments)
    assert (ran.code, ran.out) == (code, out)
    assert bool(ran.err) is bool(code)


# -- plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "golden"), [("text", "plan.txt"), ("json", "plan.json"), ("markdown", "plan.md")])
def test_a_plan_reads_as_it_always_did(ready: Stage, form: str, golden: str) -> None:
    ran = succeed(ready.plan("--format", form))
    assert scrubbed(ran.out) == (GOLDEN / golden).read_text()
    assert "error" not in ran.err


def test_a_plan_has_the_documented_keys(ready: Stage) -> None:
    plan = succeed(ready.plan("--format", "json")).json()
    assert plan["schema"] == "releaser.plan/v1"
    assert (plan["tag"], plan["channel"], plan["verdict"]) == ("v0.9.0", "stable", "ready")
    assert (plan["version"]["semver"], plan["version"]["pep440"]) == ("0.9.0", "0.9.0")
    assert plan["commit"] == ready.git("rev-parse", "v0.9.0^{commit}")
    assert {row["name"] for row in plan["gates"]} == GATES
    assert all({"name", "object", "status", "reason"} <= set(row) for row in plan["gates"])
    keys = {"id", "registry", "package", "version", "needs", "wave", "action", "reason", "files"}
    assert all(keys <= set(row) for row in plan["publications"])
    assert all({"name", "sha256", "size"} <= set(file) for row in plan["publications"] for file in row["files"])
    waves = {row["id"]: (row["wave"], row["needs"]) for row in plan["publications"]}
    assert waves["sdk"] == (2, ["ternlet-pypi"])
    assert all({"id", "kind", "action", "reason"} <= set(row) for row in plan["downstream"])


def test_a_plan_says_everything_offline_that_it_can_without_a_network(ready: Stage) -> None:
    before = len(ready.world.journal.calls())
    plan = succeed(ready.plan("--offline", "--format", "json")).json()
    assert len(ready.world.journal.calls()) == before
    statuses = {row["name"]: row["status"] for row in plan["gates"]}
    assert {name for name, status in statuses.items() if status == "skip"} == {"checks", "freeze", "approval", "world"}


def test_a_tag_can_be_planned_before_it_is_made(ready: Stage) -> None:
    unmade = ready.run("plan", "v0.9.1", "--offline")
    assert unmade.code == Exit.REFUSED
    assert "releaser plan v0.9.1 --at HEAD" in unmade.out
    ran = ready.run("plan", "v0.9.1", "--at", "HEAD", "--offline", "--format", "json")
    rows = {(row["name"], row["status"]) for row in ran.json()["gates"]}
    assert ("tag", "pass") in rows
    assert ("lockstep", "fail") in rows  # the files still say 0.9.0
    assert ("branch", "pass") in rows


def test_every_row_is_shown_when_asked_for(ready: Stage) -> None:
    folded, every = succeed(ready.plan()).out, succeed(ready.plan("--verbose")).out
    assert "12 objects" in folded
    assert "12 objects" not in every
    assert every.count("✓  pass     archive") == 12


def test_the_policy_in_force_is_shown_with_its_defaults(ready: Stage) -> None:
    policy = succeed(ready.plan("--show-policy")).json()
    assert policy["approval"]["quorum"] == 2
    assert policy["approval"]["expires"] == "72h"
    assert policy["downstream"]["homebrew"]["homepage"] == "https://tern.example.invalid/"
    trial = ready.home / "small.toml"
    trial.write_text("")
    policy = succeed(ready.plan("--show-policy", "--policy", str(trial))).json()
    assert policy["tag"] == "v{version}"
    trial.unlink()


def test_nothing_but_the_result_is_on_stdout(ready: Stage) -> None:
    ran = ready.plan("--format", "json", GITHUB_ACTIONS="true")
    assert Plan.model_validate_json(ran.out).tag == "v0.9.0"
    refused = ready.run("status", "v0.9.0", "--format", "json", GITHUB_ACTIONS="true")
    assert refused.out == ""
    assert refused.err.splitlines()[-1].startswith("::error title=release-missing::")


def test_what_goes_on_is_one_json_object_a_line_when_asked_for(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        ran = [
            stage.run("assemble", stage.tag, "--artifacts", str(stage.dist), "--log-format", "json"),
            stage.run("draft", stage.tag, "--artifacts", str(stage.dist), "--log-format", "json"),
        ]
        ran += [
            stage.run("approve", stage.tag, "--digest", stage.digest, "--log-format", "json", by=login)
            for login in stage.project.reviewers
        ]
        ran.append(stage.publish("--log-format", "json"))
        refused = stage.run("approve", stage.tag, "--digest", "none", "--log-format", "json", GITHUB_ACTIONS="true")
    lines = [line for each in (*ran, refused) for line in each.err.splitlines()]
    records = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= set(record) for record in records)
    events = {record["event"] for record in records}
    assert {
        "draft-created",
        "transferred",
        "preflight-passed",
        "release-public",
        "sent",
        "visible",
        "delivered",
    } <= events
    assert [r for r in records if r["level"] == "error"] == [records[-1]]
    assert (records[-1]["code"], records[-1]["exit"], records[-1]["found"]) == ("digest-invalid", 2, "none")


# -- documents and their schemas ----------------------------------------------------------------------------------

MODELS: dict[str, type[Document]] = {"manifest": Manifest, "plan": Plan, "status": StatusReport, "approval": Approval}


def made(stage: Stage, name: str) -> Any:
    """A real document, made by the command that makes it."""
    if name == "manifest":
        return json.loads((stage.dist / "release.json").read_bytes())
    if name == "approval":
        with stage.forge() as forge:
            (release,) = forge.releases(stage.tag)
            (asset,) = (a for a in release.assets if a.name.startswith("approval-"))
            file = stage.home / "approval.json"
            forge.download(asset, file, lambda _: None)
        return json.loads(file.read_bytes())
    command: Callable[..., Ran] = stage.plan if name == "plan" else lambda *a: stage.run("status", stage.tag, *a)
    return command("--format", "json").json()


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_describes_itself(name: str) -> None:
    schema = succeed(alone("schema", name)).json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["type"] == "object"
    assert not broken_references(schema, schema)
    if name != "policy":
        assert schema["properties"]["schema"]["const"] == f"releaser.{name if name != 'manifest' else 'release'}/v1"
        assert schema["additionalProperties"] is False


def broken_references(value: Any, root: Any) -> list[str]:
    """References inside *value* that lead nowhere in *root*."""
    if isinstance(value, list):
        return [lost for item in value for lost in broken_references(item, root)]
    if not isinstance(value, dict):
        return []
    target = value.get("$ref")
    lost = [target] if isinstance(target, str) and target.rpartition("/")[2] not in root.get("$defs", {}) else []
    return lost + [lost for item in value.values() for lost in broken_references(item, root)]


@pytest.mark.parametrize("name", MODELS)
def test_a_real_document_is_what_its_schema_says(waiting: Stage, name: str) -> None:
    document = made(waiting, name)
    schema = succeed(alone("schema", name)).json()
    assert set(schema.get("required", ())) <= set(document) <= set(schema["properties"])
    assert document["schema"] == schema["properties"]["schema"]["const"]
    parsed = MODELS[name].model_validate_json(json.dumps(document))
    assert json.loads(parsed.canonical()) == document


def test_the_policy_schema_knows_the_registries_package_managers_and_their_settings() -> None:
    definitions = succeed(alone("schema", "policy")).json()["$defs"]
    assert definitions["Publication"]["properties"]["registry"]["enum"] == ["crates.io", "npm", "pypi"]
    assert "homebrew-cask" in definitions["Downstream"]["properties"]["kind"]["enum"]
    kinds = {rule["if"]["properties"]["kind"]["const"] for rule in definitions["Downstream"]["allOf"]}
    assert kinds == set(definitions["Downstream"]["properties"]["kind"]["enum"])
    assert all("description" in p for p in definitions["Publication"]["properties"].values())
    assert set(definitions) >= {
        f.annotation.__name__
        for f in Policy.model_fields.values()
        if isinstance(f.annotation, type) and hasattr(f.annotation, "model_fields")
    }


# -- the ledger ---------------------------------------------------------------------------------------------------


def test_a_ledger_is_shown_and_verified_and_an_edit_is_found(approved: Stage) -> None:
    succeed(approved.publish())
    shown = succeed(alone("ledger", "show", approved.tag, "--ledger", str(approved.ledger))).out.splitlines()
    assert [line.split()[0] for line in shown] == [str(n) for n in range(len(shown))]
    verified = succeed(alone("ledger", "verify", approved.tag, "--ledger", str(approved.ledger))).out
    whole, hint = verified.splitlines(keepends=True)
    assert re.fullmatch(rf"{len(shown)} records, unbroken; head [0-9a-f]{{64}}\n", whole)
    assert hint.endswith("--head HASH\n"), "without it, a cut at the end does not show"
    head = whole.split()[-1]
    anchored = ("ledger", "verify", approved.tag, "--ledger", str(approved.ledger), "--head", head)
    assert succeed(alone(*anchored)).out == whole
    cut = approved.ledger.read_bytes().splitlines(keepends=True)[:-1]
    approved.ledger.write_bytes(b"".join(cut))
    assert alone(*anchored).code == Exit.USAGE
    assert "ledger-cut" in alone(*anchored).err
    lines = approved.ledger.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"sha256:", b"sha256;")
    approved.ledger.write_bytes(b"".join(lines))
    broken = alone("ledger", "verify", approved.tag, "--ledger", str(approved.ledger))
    assert broken.code == Exit.USAGE
    assert f"{approved.ledger}:2" in broken.err
    assert alone("ledger", "show", approved.tag, "--ledger", str(approved.ledger)).out == ""


# -- processes ----------------------------------------------------------------------------------------------------


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **options.pop("env", {})}
    command = [sys.executable, "-m", "releaser", *arguments]
    return subprocess.run(command, env=environ, check=False, capture_output="stdout" not in options, **options)


def test_a_reader_that_goes_away_is_no_success() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as gone:  # noqa: PTH123 - a descriptor
        ran = process("version", "1.0.0", stdout=gone, stderr=subprocess.PIPE)
    assert ran.returncode == 141
    assert ran.stderr == b""


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_a_plan_whose_reader_goes_away_is_no_success(ready: Stage, form: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environ = {**ready.project.job, "HOME": str(ready.home)}
    with open(writing, "wb") as gone:  # noqa: PTH123 - a descriptor
        arguments = ("plan", ready.tag, "--offline", "--format", form)
        ran = process(*arguments, cwd=ready.checkout, env=environ, stdout=gone, stderr=subprocess.PIPE)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_a_full_disk_is_no_bug() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = process("version", "1.0.0", stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == Exit.OUTSIDE
    assert ran.stderr.startswith(b"error: there is no room left to write to [disk-full]\n")
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_changes_no_exit_code(tmp_path: Path, closed: int) -> None:
    command = f"exec {closed}>&-; exec {shlex.quote(sys.executable)} -m releaser plan v1.0.0"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environ, check=False, capture_output=True)
    assert ran.returncode == Exit.USAGE
    assert ran.stdout == b""


def test_a_terminal_without_the_signs_gets_them_spelled_out(ready: Stage) -> None:
    environ = {**ready.project.job, "HOME": str(ready.home), "PYTHONIOENCODING": "ascii"}
    ran = process("plan", ready.tag, "--offline", cwd=ready.checkout, env=environ)
    assert ran.returncode == Exit.DONE, ran.stderr
    assert b"\\u2713  pass" in ran.stdout


def test_a_whole_release_is_rehearsed_on_this_machine(tmp_path: Path) -> None:
    ran = process("rehearse", "--lag", "0", "--dir", str(tmp_path / "world"), env={"HOME": str(tmp_path)})
    text = ran.stdout.decode()
    assert ran.returncode == Exit.DONE, text + ran.stderr.decode()
    assert "RELEASED" in text
    assert "v0.9.0 ─┬─▶ github release" in text
    assert [line for line in text.splitlines() if line.startswith("[publish job] $ releaser publish v0.9.0")]
    again = process("rehearse", "--dir", str(tmp_path / "world"))
    assert again.returncode == Exit.USAGE
    assert b"folder-not-empty" in again.stderr


def test_secrets_of_the_real_world_do_not_stop_a_rehearsal(tmp_path: Path) -> None:
    ran = process("rehearse", "--lag", "0", "--version", "0.9.0-rc.1", env={"HOME": str(tmp_path), "NPM_TOKEN": "real"})
    assert ran.returncode == Exit.DONE, ran.stdout.decode() + ran.stderr.decode()


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_rehearsal_wants_a_folder_that_it_can_use(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("no folder")
    ran = run("rehearse", "--dir", str(tmp_path / folder), cwd=tmp_path, environ={"PATH": os.environ["PATH"]})
    assert ran.code == Exit.USAGE
    assert "[folder-unusable]" in ran.err


def test_a_rehearsal_wants_git(tmp_path: Path) -> None:
    ran = run("rehearse", cwd=tmp_path, environ={"PATH": str(tmp_path)})
    assert ran.code == Exit.USAGE
    assert "[git-missing]" in ran.err


@pytest.mark.parametrize("lag", ["nan", "-1", "inf", "soon"])
def test_an_index_lags_by_a_number_of_seconds(lag: str) -> None:
    ran = alone("rehearse", "--lag", lag)
    assert ran.code == Exit.USAGE
    assert "argument --lag" in ran.err


def test_a_world_that_is_kept_goes_away_with_its_process(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "releaser", "rehearse", "--prepare"]
    kept = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert kept.stdout is not None
    for line in kept.stdout:
        if line.startswith("Ctrl-C"):
            break
    assert list(tmp_path.iterdir())
    kept.terminate()
    assert kept.wait(timeout=30) == 128 + signal.SIGTERM
    kept.stdout.close()
    assert not list(tmp_path.iterdir())


def test_the_instructions_can_be_typed_whatever_the_folder_is_called(tmp_path: Path) -> None:
    with Stage(tmp_path / "two words; $HOME") as stage:
        said = succeed(stage.assemble()).out
        refused = stage.run("draft", "v0.0.0", "--artifacts", str(stage.dist))
        printed = io.StringIO()
        with redirect_stdout(printed):
            _instructions(_environments(stage.world, stage.project), stage.project)
    assert shlex.split(said.splitlines()[-1])[-1] == str(stage.dist)
    assert shlex.split(refused.err.splitlines()[-1])[-1] == str(stage.dist)
    typed = [shlex.split(line, comments=True) for line in printed.getvalue().splitlines() if line.startswith("  ")]
    assert [words[0] for words in typed] == ["cd", ".", ".", "."]
    assert all(len(words) == 2 and Path(words[1]).exists() for words in typed)


@pytest.mark.parametrize("state", list(State))
def test_every_next_command_can_be_typed(state: State) -> None:
    steps = [next_step(state, draft=draft, all_frozen=draft, proposed=draft) for draft in (False, True)]
    for step in steps:
        assert step.command or step.remark
        text = step.command.format(tag="v1.2.0", digest="sha256:" + "0" * 64, ledger=" --ledger a.jsonl")
        for command in filter(None, text.split(" && ")):
            program, *arguments = shlex.split(command)
            assert program == "gh" or _parser(arguments).parse_args(arguments).command == arguments[0]
