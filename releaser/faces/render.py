"""Documents as people read them: terminal text, Markdown for a job's page, JSON for programs, errors everywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import ceil
from typing import IO, TYPE_CHECKING, NoReturn

from releaser.adapters.redact import redact
from releaser.errors import ReleaserError
from releaser.faces.log import shown, size

if TYPE_CHECKING:
    from rich.console import Console

    from releaser.model.document import Document
    from releaser.model.plan import GateRow, PaceRow, Plan, PublicationRow
    from releaser.model.status import StatusReport

_MARKS = {
    "pass": ("✓", "green"),
    "fail": ("✗", "red"),
    "wait": ("…", "yellow"),
    "skip": ("-", "dim"),
    "publish": ("→", "cyan"),
    "conflict": ("✗", "red"),
    "absent": ("-", "dim"),
    "partial": ("…", "yellow"),
    "recorded": ("…", "yellow"),
    "submitted": ("…", "yellow"),
    "visible": ("✓", "green"),
    "unknown": ("?", "yellow"),
}
_MANY = 3
_VERDICTS = {"ready": "bold green", "refused": "bold red", "waiting": "bold yellow"}


def as_json(document: Document) -> str:
    """A document as indented JSON with sorted keys, in which a job's log finds no command (T20)."""
    text = json.dumps(document.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
    return text.replace("##[", "#\\u0023[")


def console(stream: IO[str] | None = None) -> Console:
    """A console on stdout that never wraps: a line stays one line, so that output can be searched and piped."""
    from rich.console import Console

    class Piped(Console):
        """Leaves it to `releaser.faces.cli.main` what to do when the reader of a pipe went away."""

        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    return Piped(file=stream or sys.stdout, highlight=False, soft_wrap=True, emoji=False)


def plan_text(plan: Plan, out: Console, *, every: bool = False) -> None:
    """The plan as one reads it in a terminal: gates, what blocks, what would be sent where, the verdict.

    Gates that let many objects through are one line each unless *every* row is wanted.
    """
    from rich.text import Text

    version = plan.version.semver if plan.version else "no version"
    spelled = f" (PEP 440 {plan.version.pep440})" if plan.version and plan.version.pep440 else ""
    out.print(Text(f"{shown(plan.repository)}  {shown(plan.tag)}", style="bold"))
    out.print(Text(f"{version}{spelled} · {plan.channel or 'no channel'} · commit {(plan.commit or 'none')[:12]}"))
    out.print()
    _rows(out, [(r.status, (r.name, r.object, r.reason)) for r in (plan.gates if every else _folded(plan.gates))])
    out.print()
    _evidence(plan.gates, out)
    if plan.publications:
        out.print(Text("publish, in this order", style="bold"))
        _publications(plan, out)
        for pace in plan.paces:
            out.print(Text(f"{shown(pace.registry)} takes {_lasting(pace)}", style="yellow"))
        out.print()
    if plan.downstream:
        out.print(Text("then update", style="bold"))
        _rows(out, [(r.action, (r.id, r.kind, r.repository, r.reason)) for r in plan.downstream])
        out.print()
    out.print(Text(plan.verdict.upper(), style=_VERDICTS[plan.verdict]), Text(_because(plan.gates)))


def _folded(rows: Sequence[GateRow]) -> Iterator[GateRow]:
    """The rows, with the passed ones of a gate as one where there are many."""
    for _, group in groupby(rows, key=lambda r: r.name):
        of_gate = list(group)
        passed = [r for r in of_gate if r.status == "pass"]
        if len(passed) > _MANY:
            words = {"object": f"{len(passed)} objects", "reason": f"{passed[0].object}, {passed[1].object}, …"}
            yield passed[0].model_copy(update=words)
        yield from (r for r in of_gate if r.status != "pass" or len(passed) <= _MANY)


def _evidence(rows: Sequence[GateRow], out: Console) -> None:
    from rich.text import Text

    for row in rows:
        evidence = [(k, v) for k, v in (("found", row.found), ("wanted", row.wanted), ("next", row.hint)) if v]
        if row.status in ("fail", "wait") and evidence:
            out.print(Text(f"{row.name}: {shown(row.object)}", style="bold"))
            for label, value in evidence:
                out.print(Text(f"  {label:<7}{shown(value)}"))
            out.print()


def _publications(plan: Plan, out: Console) -> None:
    def head(row: PublicationRow) -> tuple[str, ...]:
        after = f", after {', '.join(row.needs)}" if row.needs else ""
        return f"{row.wave}.", row.id, row.registry, f"{row.package} {row.version}", row.reason + after

    widths = _widths([head(row) for row in plan.publications])
    for row in plan.publications:
        _row(out, row.action, head(row), widths)
        files = [(f.name, size(f.size), f"sha256:{f.sha256}") for f in row.files]
        for file, cells in zip(row.files, files, strict=True):
            _row(out, file.action, cells, _widths(files), indent=" " * 11, word_shown=False)


def _lasting(pace: PaceRow) -> str:
    return f"{pace.versions} versions in at least {ceil(pace.least / 60)} minutes: {pace.reason}"


def _rows(out: Console, rows: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """Columns under one another, each row led by the mark of its word; nothing is cut or wrapped.

    Whatever the cells hold, a row stays one line and moves no cursor.
    """
    widths = _widths([cells for _, cells in rows])
    for word, cells in rows:
        _row(out, word, cells, widths)


def _widths(rows: Sequence[tuple[str, ...]]) -> tuple[int, ...]:
    """The width of each column; 0 for the last, which needs none."""
    return (*(max(len(shown(text)) for text in column) for column in list(zip(*rows, strict=True))[:-1]), 0)


def _row(
    out: Console, word: str, cells: Sequence[str], widths: Sequence[int], *, indent: str = "", word_shown: bool = True
) -> None:
    from rich.text import Text

    mark, style = _MARKS[word]
    line = Text(indent).append(f"{mark}  {word:<9}" if word_shown else f"{mark}  ", style=style)
    for text, width in zip(cells, widths, strict=True):
        line.append(f"{shown(text):<{width}}").append("  " if width else "")
    line.rstrip()
    out.print(line)


def status_text(report: StatusReport, out: Console) -> None:
    """The state of a release: per channel what is there, what stands in the way, what to type next."""
    from rich.text import Text

    out.print(Text(f"{shown(report.repository)}  {shown(report.tag)}  {report.state.upper()}", style="bold"))
    how = "draft" if report.draft else "public"
    out.print(Text(f"{shown(report.release)}  {how}  {report.manifest}, put there by {shown(report.assembled_by)}"))
    if report.ledger:
        many = f"{report.records} record{'' if report.records == 1 else 's'}" if report.records else "nothing on record"
        out.print(Text(f"ledger {shown(report.ledger)}, {many}"))
    out.print()
    channels = (*report.publications, *report.downstream)
    if channels:
        _rows(out, [(r.shown, (r.id, f"{r.target}  {r.item}", r.detail)) for r in channels])
        out.print()
    told = {problem.message for problem in report.problems}
    for gate in report.gates:
        if gate.status in ("fail", "wait") and gate.reason not in told:
            found = f" ({gate.found})" if gate.found not in ("", gate.reason) else ""
            out.print(Text(shown(f"{gate.name}: {gate.reason}{found}")))
    for problem in report.problems:
        out.print(Text(shown(f"{problem.message} ({problem.found or problem.object}) [{problem.code}]")))
        if problem.hint:
            out.print(Text(shown(f"  {problem.hint}")))
    for line in next_text(report.next, report.remark):
        out.print(Text(line))


def next_text(command: str, remark: str) -> Iterator[str]:
    """What to do next: the command on a line of its own, so that it can be copied, and what is said of it below."""
    lead = "next: "
    for words in filter(None, (command, remark)):
        yield lead + shown(words)
        lead = "      "


def plan_markdown(plan: Plan) -> str:
    """The plan for a job's summary page."""
    lines = [f"## {cell(plan.tag)}: {plan.verdict}", "", _because(plan.gates), ""]
    lines += _markdown_table(
        ("", "gate", "object", "reason", "found", "wanted", "next"),
        ((_MARKS[r.status][0], r.name, r.object, r.reason, r.found, r.wanted, r.hint) for r in plan.gates),
    )
    if plan.publications:
        lines += ["", "### Publish", ""]
        lines += _markdown_table(
            ("wave", "id", "registry", "package", "version", "action", "reason"),
            ((str(r.wave), r.id, r.registry, r.package, r.version, r.action, r.reason) for r in plan.publications),
        )
        files = [(r.registry, f.name, size(f.size), f.sha256, f.action) for r in plan.publications for f in r.files]
        if files:
            lines += ["", *_markdown_table(("to", "file", "size", "sha256", "action"), files)]
    for pace in plan.paces:
        lines += ["", f"{cell(pace.registry)} takes {_lasting(pace)}."]
    if plan.downstream:
        lines += ["", "### Then update", ""]
        lines += _markdown_table(
            ("id", "kind", "repository", "action", "reason"),
            ((r.id, r.kind, r.repository, r.action, r.reason) for r in plan.downstream),
        )
    return "\n".join(lines)


def status_markdown(report: StatusReport) -> str:
    """The state of a release for a job's summary page."""
    lines = [f"## {cell(report.tag)}: {report.state}", "", f"`{report.manifest}`", ""]
    lines += _markdown_table(
        ("", "id", "target", "item", "shown", "detail"),
        (
            (_MARKS[r.shown][0], r.id, r.target, r.item, r.shown, r.detail)
            for r in (*report.publications, *report.downstream)
        ),
    )
    if report.problems:
        lines += ["", "### Problems", ""]
        lines += _markdown_table(
            ("code", "message", "object", "found", "wanted", "next"),
            ((p.code, p.message, p.object, p.found, p.wanted, p.hint) for p in report.problems),
        )
    return "\n".join([*lines, "", f"Next: {', '.join(map(cell, filter(None, (report.next, report.remark))))}"])


def error_text(error: ReleaserError) -> str:
    """An error as a person reads it: sentence, evidence, next step."""
    lines = [f"error: {shown(error.message)} [{error.code}]"]
    for label, value in (("object", error.object), ("found", error.found), ("wanted", error.wanted)):
        if value:
            lines.append(f"  {label:<7}{shown(value)}")
    if error.hint:
        lines.append(f"hint: {shown(error.hint)}")
    return redact("\n".join(lines))


def cell(text: str) -> str:
    """*text* safe inside a Markdown table cell."""
    text = shown(text)
    for character in "\\`*_{}[]<>|#~":
        text = text.replace(character, "\\" + character)
    return text


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]


def _because(rows: Sequence[GateRow]) -> str:
    counts = {s: sum(r.status == s for r in rows) for s in ("pass", "fail", "wait", "skip")}
    words = {"pass": "passed", "fail": "failed", "wait": "waiting", "skip": "skipped"}
    return ", ".join(f"{n} {words[s]}" for s, n in counts.items() if n)
