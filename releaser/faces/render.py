"""Documents as people read them: terminal text, Markdown for a job's page, JSON for programs, errors everywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

from releaser.errors import ReleaserError
from releaser.faces.log import size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from releaser.model.document import Document
    from releaser.model.plan import GateRow, Plan
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
    "visible": ("✓", "green"),
    "unknown": ("?", "yellow"),
}
_VERDICTS = {"ready": "bold green", "refused": "bold red", "waiting": "bold yellow"}


def as_json(document: Document) -> str:
    """A document as indented JSON with sorted keys."""
    return json.dumps(document.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)


def console(stream: IO[str] | None = None) -> Console:
    """A console on stdout that wraps nowhere when it is not a terminal, so that output can be searched."""
    from rich.console import Console

    out = stream or sys.stdout
    return Console(file=out, highlight=False, soft_wrap=True, width=None if out.isatty() else 160, emoji=False)


def plan_text(plan: Plan, out: Console) -> None:
    """The plan as one reads it in a terminal: gates, then what would be sent where, then the verdict."""
    from rich.text import Text

    version = f"{plan.version.semver}" if plan.version else "no version"
    spelled = f" (PEP 440 {plan.version.pep440})" if plan.version and plan.version.pep440 else ""
    out.print(Text(f"{plan.repository}  {shown(plan.tag)}", style="bold"))
    out.print(Text(f"{version}{spelled} · {plan.channel or 'no channel'} · commit {(plan.commit or 'none')[:12]}"))
    out.print()
    _gates(plan.gates, out)
    if plan.publications:
        out.print(Text("publish, in this order", style="bold"))
        _publications(plan, out)
    if plan.downstream:
        out.print(Text("then update", style="bold"))
        table = _table()
        for row in plan.downstream:
            table.add_row(*_mark(row.action), row.id, f"{row.kind}  {row.repository}", row.reason)
        out.print(table)
        out.print()
    out.print(Text(plan.verdict.upper(), style=_VERDICTS[plan.verdict]), Text(_because(plan.gates)))


def _publications(plan: Plan, out: Console) -> None:
    table = _table()
    for row in plan.publications:
        after = f"after {', '.join(row.needs)}" if row.needs else ""
        where = f"{row.registry}  {row.package} {row.version}"
        table.add_row(*_mark(row.action), f"{row.wave}. {row.id}", where, "; ".join(filter(None, (row.reason, after))))
        for file in row.files:
            table.add_row("", "", "", f"  {shown(file.name)}", f"{size(file.size)}  sha256:{file.sha256}")
    out.print(table)
    out.print()


def _gates(rows: Sequence[GateRow], out: Console) -> None:
    from rich.text import Text

    table = _table()
    for row in rows:
        table.add_row(*_mark(row.status), row.name, shown(row.object), row.reason)
    out.print(table)
    out.print()
    for row in rows:
        if row.status in ("fail", "wait"):
            out.print(Text(f"{row.name}: {shown(row.object)}", style="bold"))
            for label, value in (("found", row.found), ("wanted", row.wanted), ("next", row.hint)):
                if value:
                    out.print(Text(f"  {label:<7}{shown(value)}"))
            out.print()


def status_text(report: StatusReport, out: Console) -> None:
    """The state of a release: per channel what is there, what stands in the way, what to type next."""
    from rich.text import Text

    out.print(Text(f"{report.repository}  {shown(report.tag)}  {report.state.upper()}", style="bold"))
    out.print(Text(f"{report.release}  {'draft' if report.draft else 'public'}  {report.manifest}"))
    out.print()
    table = _table()
    for row in (*report.publications, *report.downstream):
        table.add_row(*_mark(row.shown), row.id, f"{row.target}  {row.item}", row.detail)
    out.print(table)
    for gate in report.gates:
        if gate.status in ("fail", "wait"):
            out.print(Text(f"{gate.name}: {gate.reason}" + (f" ({shown(gate.found)})" if gate.found else "")))
    out.print(Text(f"next: {report.next}"))


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
    return "\n".join([*lines, "", f"Next: `{report.next}`"])


def error_text(error: ReleaserError) -> str:
    """An error as a person reads it: sentence, evidence, next step."""
    lines = [f"error: {error.message} [{error.code}]"]
    for label, value in (("object", error.object), ("found", error.found), ("wanted", error.wanted)):
        if value:
            lines.append(f"  {label:<7}{shown(value)}")
    if error.hint:
        lines.append(f"hint: {shown(error.hint)}")
    return "\n".join(lines)


def shown(text: str) -> str:
    """*text* safe for a terminal: control, bidirectional and other invisible characters are written out (T2, T20)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell(text: str) -> str:
    """*text* safe inside a Markdown table cell."""
    text = shown(text)
    for character in "\\`*_{}[]<>|#~":
        text = text.replace(character, "\\" + character)
    return text


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]


def _table() -> Table:
    from rich.table import Table

    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))


def _mark(word: str) -> tuple[str, str]:
    mark, style = _MARKS[word]
    return f"[{style}]{mark}[/]", f"[{style}]{word}[/]"


def _because(rows: Sequence[GateRow]) -> str:
    counts = {s: sum(r.status == s for r in rows) for s in ("pass", "fail", "wait", "skip")}
    words = {"pass": "passed", "fail": "failed", "wait": "waiting", "skip": "skipped"}
    return ", ".join(f"{n} {words[s]}" for s, n in counts.items() if n)
