"""What people see: nothing that a stranger wrote moves a cursor, breaks a table, or commands a job."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releaser.engine.planner import plan
from releaser.errors import ConfigError, RefusedError
from releaser.faces import render
from releaser.faces.log import shown, size
from releaser.faces.notes import notes
from releaser.model.plan import GateRow, PaceRow, Plan, Status
from releaser.model.status import ChannelRow, ProblemRow, Shown, StatusReport
from tests.cases import FULL, case, file, full_files, manifest, source

HOSTILE = "a|b\n::error::x\x1b[2J\u202e<img src=x>`$(id)`[l](javascript:x)##[add-mask]y"


def hostile_plan() -> Plan:
    made = plan(case(text=FULL, artifacts=full_files()), "acme/demo", "sha256:" + "0" * 64)
    row = GateRow(
        name="branch", object=HOSTILE, status=Status.FAIL, reason=HOSTILE, found=HOSTILE, wanted=HOSTILE, hint=HOSTILE
    )
    publications = tuple(p.model_copy(update={"package": HOSTILE, "reason": HOSTILE}) for p in made.publications)
    words = {"tag": HOSTILE, "repository": HOSTILE, "gates": (row, *made.gates), "publications": publications}
    return made.model_copy(update=words)


def hostile_status() -> StatusReport:
    channel = ChannelRow(id="demo", target="pypi", item=HOSTILE, shown=Shown.UNKNOWN, detail=HOSTILE)
    problem = ProblemRow(code="registry-refused", message=HOSTILE, found=HOSTILE, hint=HOSTILE)
    row = GateRow(name="approval", object=HOSTILE, status=Status.WAIT, reason=HOSTILE, found=HOSTILE)
    return StatusReport(
        repository=HOSTILE,
        tag=HOSTILE,
        version="1.2.3",
        state="partial",
        next=f"releaser publish {HOSTILE}",
        manifest="sha256:" + "0" * 64,
        release=HOSTILE,
        draft=True,
        assembled_by=HOSTILE,
        gates=(row,),
        publications=(channel,),
        downstream=(channel,),
        problems=(problem,),
    )


def limited_plan() -> Plan:
    pace = PaceRow(registry="crates.io", versions=64, least=2040, reason="30 new versions at once, then one every 60 s")
    return hostile_plan().model_copy(update={"paces": (pace,)})


def text_of(document: Plan | StatusReport) -> str:
    out = io.StringIO()
    if isinstance(document, Plan):
        render.plan_text(document, render.console(out), every=True)
    else:
        render.status_text(document, render.console(out))
    return out.getvalue()


@pytest.mark.parametrize("document", [hostile_plan(), hostile_status()], ids=["plan", "status"])
def test_a_terminal_is_sent_printable_lines_only(document: Plan | StatusReport) -> None:
    text = text_of(document)
    assert "a|b\\n::error::x\\x1b[2J\\u202e" in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert not re.search(r"^\s*::", text, re.MULTILINE)
    assert "##[" not in text


@pytest.mark.parametrize(
    ("markdown", "tables"),
    [(render.plan_markdown(hostile_plan()), 4), (render.status_markdown(hostile_status()), 2)],
    ids=["plan", "status"],
)
def test_a_page_keeps_its_tables_and_takes_no_markup(markdown: str, tables: int) -> None:
    blocks = re.findall(r"(?:^\|.*\n?)+", markdown, re.MULTILINE)
    assert len(blocks) == tables
    for block in blocks:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1
    assert all(line.isprintable() for line in markdown.split("\n"))
    assert not re.search(r"(?<!\\)[<\[]", markdown)
    assert "javascript" in markdown  # shown, not followed


@pytest.mark.parametrize("document", [hostile_plan(), hostile_status()], ids=["plan", "status"])
def test_a_document_is_the_same_after_printing_it(document: Plan | StatusReport) -> None:
    text = render.as_json(document)
    assert type(document).model_validate_json(text) == document
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert "##[" not in text


def test_an_error_is_one_line_for_each_part() -> None:
    error = RefusedError("some-code", HOSTILE, object=HOSTILE, found=HOSTILE, wanted=HOSTILE, hint=HOSTILE)
    lines = render.error_text(error).split("\n")
    assert [line.split()[0] for line in lines] == ["error:", "object", "found", "wanted", "hint:"]
    assert all(line.isprintable() for line in lines)
    assert lines[0].endswith(" [some-code]")


def test_an_error_leaves_out_what_there_is_not() -> None:
    assert render.error_text(ConfigError("c", "m")) == "error: m [c]"


@given(st.text(alphabet=st.characters(categories=None)))
def test_shown_text_is_printable_and_plain_text_is_itself(text: str) -> None:
    safe = shown(text)
    assert safe.isprintable()
    assert "##[" not in safe
    assert safe == text or not text.isprintable() or "##[" in text


@given(st.text())
def test_a_cell_has_no_markup_that_is_not_escaped(text: str) -> None:
    bare = re.sub(r"\\.", "", render.cell(text))
    assert not set(bare) & set("\\`*_{}[]<>|#~\n\r")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (4_200_000, "4.2 MB"),
        (2_147_483_648, "2.1 GB"),
        (10**13, "10000.0 GB"),
    ],
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_many_passed_objects_are_one_line_and_a_failed_one_keeps_its_own() -> None:
    text = FULL
    files = (*full_files(), file("extra.sh"))
    made = plan(case(text=text, artifacts=files, source=source()), "acme/demo", "sha256:" + "0" * 64)
    out = io.StringIO()
    render.plan_text(made, render.console(out))
    assert "objects" in out.getvalue()
    assert re.search(r"✗  fail +artifacts +extra\.sh", out.getvalue())
    assert "REFUSED" in out.getvalue()


def test_a_reason_that_says_what_was_found_says_it_once() -> None:
    row = GateRow(name="approval", object="v1", status=Status.WAIT, reason="0/2 approvals", found="0/2 approvals")
    out = io.StringIO()
    render.status_text(hostile_status().model_copy(update={"gates": (row,)}), render.console(out))
    assert "approval: 0/2 approvals\n" in out.getvalue()


def test_the_notes_of_a_draft_call_on_nobody() -> None:
    """A scoped npm name is the name of a team, which a release page would notify."""
    made = manifest(case(text=FULL, artifacts=full_files()))
    publication = made.publications[0].model_copy(update={"package": "@acme/core"})
    written = notes(made.model_copy(update={"publications": (publication,)}))
    assert "| `@acme/core` |" in written
    assert "@acme" not in written.replace("`@acme/core`", "")
    assert all(f"| `{a.name}` | {size(a.size)} | `{a.sha256}` |" in written for a in made.artifacts)


def test_a_plan_says_how_long_a_rate_limit_makes_it_take() -> None:
    said = "takes 64 versions in at least 34 minutes: 30 new versions at once, then one every 60 s"
    assert f"crates.io {said}" in text_of(limited_plan())
    assert f"crates.io {said}." in render.plan_markdown(limited_plan())
