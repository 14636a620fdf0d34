"""Breaks single facts of the rehearsal servers, one at a time, and asks whether a contract case notices.

``python -m tests.contracts.mutants`` mutates the services in ``releaser/rehearsal``: a status code, a word of a
message, a field's name, a header, a digest algorithm, a comparison, a bound, a missing reason phrase. For each it runs
the cases that reach the changed line, fastest first, until one fails. Nothing is written but the report: a mutant
lives in a forked process only.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "releaser" / "rehearsal"
SUITES = Path(__file__).parent
APART = frozenset({"__init__", "server", "world", "sample", "gitrepo"})
"""Modules that hold no fact of a wire: the HTTP machinery, the project that is released, git's own plumbing."""
OFF_THE_WIRE = frozenset(
    {
        *("ConfigError", "mkdir"),  # errors of those who set a world up, and its files
        *("injected", "left_behind"),  # the faults that they ask for
        *("add_package", "itertools.count", "instant"),  # what a world is seeded with
        "usedforsecurity",  # for those who read the source
    }
)
"""Functions and keywords whose values no client meets, or which are a rehearsal's own invention."""
LOADED = (
    *("cryptography.hazmat.primitives.asymmetric.rsa", "githubkit", "httpx"),
    *("jsonschema", "packaging.metadata", "pydantic", "rfc8785", "semver", "twine.package"),
    *("releaser.adapters.crates", "releaser.adapters.github", "releaser.adapters.npm", "releaser.adapters.pypi"),
)
"""Loaded once, for all forks: whatever takes long and is not changed."""
PATIENCE = 120  # seconds for the cases of one mutant

_RAISED = 70
_RESULTS = {0: "survived", 1: "caught", 2: "caught", _RAISED: "caught"}
"""By exit code: all passed, some failed, a module could not be imported, pytest itself tripped over what was left."""
_DIGESTS = {"sha256": "blake2s", "sha512": "blake2b", "md5": "sha1", "sha1": "md5", "blake2b": "sha512"}
_STATUS = {200: 203, 201: 200, 202: 200, 204: 200, 302: 307, 304: 200, 308: 307}
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed fact: the *index*-th that can be changed in *file*."""

    file: str
    line: int
    index: int
    change: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a case noticed: ``caught``, ``survived``, ``unreached`` when no case comes by that line, or ``late``
    when the cases were stopped before one of them failed.
    """

    mutant: Mutant
    result: str


class _Changer(ast.NodeTransformer):
    """Counts what can be changed, and changes the *target*-th of it."""

    def __init__(self, target: int = -1) -> None:
        self.found: list[tuple[int, str]] = []
        self._target = target

    def _chosen(self, node: ast.expr | ast.keyword, change: str) -> bool:
        self.found.append((node.lineno, change))
        return len(self.found) - 1 == self._target

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        match node.value:
            case bool():
                new: bool | int | float | str | bytes = not node.value
            case int() if 100 <= node.value < 600:
                new = _STATUS.get(node.value, 418 if node.value < 500 else 599)
            case int() | float():
                new = node.value + 1
            case str() if node.value:
                new = _misspelt(node.value)
            case bytes() if node.value:
                new = _misspelt(node.value.decode("latin-1")).encode("latin-1")
            case _:
                return node
        return ast.copy_location(ast.Constant(new), node) if self._chosen(node, f"{node.value!r} → {new!r}") else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        other = _DIGESTS.get(node.attr)
        if other and isinstance(node.value, ast.Name) and node.value.id == "hashlib" and self._chosen(node, other):
            node.attr = other
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        for place, operator in enumerate(node.ops):
            other = _COMPARISONS[type(operator)]
            if self._chosen(node, f"{type(operator).__name__} → {other.__name__}"):
                node.ops[place] = other()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return node.operand if isinstance(node.op, ast.Not) and self._chosen(node, "without not") else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        if self._chosen(node, "and ↔ or"):
            node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if isinstance(node.op, ast.Div):  # a path
            return node
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = ast.unparse(node.func)
        if {name, name.rpartition(".")[2]} & OFF_THE_WIRE:
            return node
        self.generic_visit(node)
        keep = [k for k in node.keywords if k.arg not in ("reason", "headers") or not self._chosen(k, f"no {k.arg}")]
        node.keywords = keep
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if ast.unparse(node.value) != "Literal":  # a type, which is gone when the program runs
            self.generic_visit(node)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        if node.arg not in OFF_THE_WIRE:
            self.generic_visit(node)
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        self.visit(node.value)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return node if isinstance(node.value, ast.Constant) else self._generic(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        if node.name in OFF_THE_WIRE:
            return node
        node.decorator_list = [self._route(decorator) for decorator in node.decorator_list]
        node.body = [self._statement(statement) for statement in node.body]
        node.args.defaults = [self._expression(default) for default in node.args.defaults]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is not None:
            node.value = self._expression(node.value)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        node.body = [s if _is_label(s) else self._statement(s) for s in node.body]
        return node

    def visit_If(self, node: ast.If) -> ast.stmt:
        return node if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else self._generic(node)

    def _generic(self, node: ast.stmt) -> ast.stmt:
        self.generic_visit(node)
        return node

    def _statement(self, node: ast.stmt) -> ast.stmt:
        changed = self.visit(node)
        assert isinstance(changed, ast.stmt)
        return changed

    def _expression(self, node: ast.expr) -> ast.expr:
        changed = self.visit(node)
        assert isinstance(changed, ast.expr)
        return changed

    def _route(self, decorator: ast.expr) -> ast.expr:
        """A route without the name of its operation, which only the journal knows."""
        if isinstance(decorator, ast.Call):
            decorator.args[:2] = [self._expression(argument) for argument in decorator.args[:2]]
        return decorator


def _misspelt(text: str) -> str:
    """*text* with one letter in its middle changed: a prefix or a suffix that matches is not enough."""
    places = [i for i, c in enumerate(text) if c.isalnum()] or [0]
    place = places[len(places) // 2]
    letter = text[place]
    other = "x" if letter.lower() != "x" else "y"
    return text[:place] + (other if letter.islower() or not letter.isalpha() else other.upper()) + text[place + 1 :]


def _is_label(statement: ast.stmt) -> bool:
    """Whether this is a service's own ``name``, which is in no answer."""
    return isinstance(statement, ast.Assign) and [ast.unparse(t) for t in statement.targets] == ["name"]


def mutants(service: str = "") -> list[Mutant]:
    """Every mutant of the modules whose name begins with *service*."""
    made: list[Mutant] = []
    for file in sorted(SERVICES.glob(f"{service}*.py")):
        if file.stem not in APART:
            changer = _Changer()
            changer.visit(ast.parse(file.read_text()))
            name = file.relative_to(ROOT).as_posix()
            made += [Mutant(name, line, index, change) for index, (line, change) in enumerate(changer.found)]
    return made


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module of ours with one fact changed."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.file.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        file = ROOT / self._mutant.file
        tree = _Changer(self._mutant.index).visit(ast.parse(file.read_text()))
        module.__file__ = str(file)
        exec(compile(ast.fix_missing_locations(tree), str(file), "exec"), module.__dict__)  # noqa: S102 - our source


class _Cases:
    """Keeps the cases that ask the rehearsal world and drive no client but git; those *wanted*, in that order."""

    def __init__(self, wanted: Sequence[str] | None = None) -> None:
        self._wanted = wanted

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        from tests.contracts.table import Column

        def asks_the_rehearsal(item: pytest.Item) -> bool:
            callspec = getattr(item, "callspec", None)
            found = [v for v in callspec.params.values() if isinstance(v, Column)] if callspec else []
            drives = any(client != "git" for mark in item.iter_markers("clients") for client in mark.args)
            return not drives and not any(column.needs for column in found)

        kept = [item for item in items if asks_the_rehearsal(item)]
        if self._wanted is not None:
            order = {node: place for place, node in enumerate(self._wanted)}
            kept = sorted((i for i in kept if i.nodeid in order), key=lambda i: order[i.nodeid])
        items[:] = kept


class _Reach:
    """Which lines of the services each case runs, whatever thread serves it, and how long it takes.

    What runs while a case is set up counts for all cases of its file, which may share what was made.
    """

    def __init__(self) -> None:
        self.lines: dict[str, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        self._case = ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._case = nodeid

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        self._case = item.nodeid.partition("::")[0]
        yield
        self._case = item.nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(str(SERVICES)):
            return None
        self.lines[f"{frame.f_code.co_filename.removeprefix(f'{ROOT}/')}:{frame.f_lineno}"].add(self._case)
        return self.trace


def _run(plugins: Sequence[object], suites: Sequence[str]) -> int:
    options = ["-q", "-x", "--assert=plain", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    return int(pytest.main([*options, *suites], plugins=list(plugins)))


def _forked(work: Any) -> int:
    """The process in which *work* runs, its output thrown away and its number the exit status."""
    pid = os.fork()
    if pid:
        return pid
    status = _RAISED
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        signal.alarm(PATIENCE * 20)
        status = int(work())
    finally:
        os._exit(status)


def _reach(suites: Sequence[str]) -> tuple[Mapping[str, Sequence[str]], Mapping[str, float]]:
    """The cases that run each line, and the seconds of each case; raises SystemExit when a case fails unmutated."""
    with tempfile.NamedTemporaryFile("r") as answer:

        def work() -> int:
            reach = _Reach()
            threading.settrace(reach.trace)
            sys.settrace(reach.trace)
            code = _run((_Cases(), reach), suites)
            sys.settrace(None)
            found = {"lines": {k: sorted(v) for k, v in reach.lines.items()}, "seconds": reach.seconds}
            Path(answer.name).write_text(json.dumps(found))
            return code

        _, status = os.waitpid(_forked(work), 0)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit("the cases fail without any mutant: run `make contracts`")
        found = json.loads(answer.read())
    return found["lines"], found["seconds"]


def judge(chosen: Sequence[Mutant], suites: Sequence[str], jobs: int) -> Iterator[Verdict]:
    """The verdict on each mutant, as they come in."""
    for name in LOADED:
        importlib.import_module(name)
    lines, seconds = _reach(suites)
    waiting, running = list(reversed(chosen)), dict[int, Mutant]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            reached = {case for line in _statement(mutant) for case in lines.get(f"{mutant.file}:{line}", ())}
            if not reached:
                yield Verdict(mutant, "unreached")
            else:
                # What runs while modules are imported is reached by every case.
                known = [c for c in seconds if "" in reached or {c, c.partition("::")[0]} & reached]
                wanted = sorted(known, key=lambda c: seconds[c])
                running[_forked(lambda m=mutant, w=wanted: _with(m, w))] = mutant
        if running:
            pid, status = os.wait()
            yield Verdict(running.pop(pid), _RESULTS.get(os.waitstatus_to_exitcode(status), "late"))


@cache
def _statements(file: str) -> list[range]:
    """The lines of every simple statement, and of every head of a compound one."""
    found = [n for n in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(n, ast.stmt)]
    inner: list[list[ast.stmt]] = [getattr(node, "body", []) for node in found]
    ends = [body[0].lineno - 1 if body else node.end_lineno for node, body in zip(found, inner, strict=True)]
    return [range(node.lineno, max(node.lineno, end or 0) + 1) for node, end in zip(found, ends, strict=True)]


def _statement(mutant: Mutant) -> range:
    """The lines of the statement that is changed: of one over several lines only some count as run."""
    around = [lines for lines in _statements(mutant.file) if mutant.line in lines]
    return min(around, key=len, default=range(mutant.line, mutant.line + 1))


def _with(mutant: Mutant, cases: Sequence[str]) -> int:
    signal.alarm(PATIENCE)
    sys.meta_path.insert(0, _Loader(mutant))
    files = dict.fromkeys(str(ROOT / case.partition("::")[0]) for case in cases)
    return _run([_Cases(cases)], list(files))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--service", default="", help="only modules whose name begins so: pypi, crates, npm, github, …")
    parser.add_argument("--suites", default="test_*.py", metavar="PATTERN", help="only the suites in files named so")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="N mutants chosen by --seed, not all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", type=Path, help="write every verdict there, as JSON")
    parser.add_argument("--least", type=float, default=0.9, help="the score below which this fails")
    options = parser.parse_args(arguments)
    chosen = mutants(options.service)
    if options.sample:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))  # noqa: S311 - a sample
    began, verdicts = time.monotonic(), list[Verdict]()
    suites = sorted(str(file) for file in SUITES.glob(options.suites) if file.stem != "test_table")
    for verdict in judge(chosen, suites, options.jobs):
        verdicts.append(verdict)
        if verdict.result != "caught":
            where = f"{verdict.mutant.file}:{verdict.mutant.line}"
            print(f"{verdict.result:<10}{where}  {verdict.mutant.change}", flush=True)  # noqa: T201 - a command
    score = sum(v.result == "caught" for v in verdicts) / max(len(verdicts), 1)
    if options.report:
        options.report.write_text(json.dumps([asdict(v) for v in verdicts], indent=1))
    counts = ", ".join(
        f"{sum(v.result == r for v in verdicts)} {r}" for r in ("caught", "survived", "unreached", "late")
    )
    print(f"{score:.1%} of {len(verdicts)} mutants caught ({counts}) in {time.monotonic() - began:.0f} s")  # noqa: T201
    return 0 if score >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
