"""The documentation says what the code does: its codes, gates, commands and links are held against the real thing."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from releaser import errors
from releaser.faces.cli import COMMANDS, _parser
from releaser.faces.log import LineReporter
from releaser.faces.wire import Wiring
from releaser.policy.decide import RULES
from tests.contracts.table import cases, rows_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
SECONDS = 600.0
GATES = [gate.__name__ for gate in RULES]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """Every fenced block: its language and its text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> list[str]:
    """The texts of the headings below the title."""
    return re.findall(r"^##+ (.+?)\s*$", prose(page), re.MULTILINE)


def environment(**more: str) -> dict[str, str]:
    """Ours without what a job of the forge would add, so that a test is a test in a job as well."""
    jobs = ("GITHUB_", "GH_", "ACTIONS_", "RELEASER_", "INPUT_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(jobs)}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | more


# Errors and gates

EXITS = {name: int(kind.exit) for name, kind in vars(errors).items() if name.endswith("Error")}


class Raised(ast.NodeVisitor):
    """Collects the codes that a module raises: written in place, or handed in through a function's parameter.

    A class of errors gives its code to ``super().__init__``. Any other first argument could not be documented, and is
    kept in ``unclear``.
    """

    def __init__(self, module: ast.Module) -> None:
        self.module = module
        self.around: list[ast.FunctionDef | ast.ClassDef] = []
        self.found: set[tuple[str, int]] = set()
        self.unclear: list[str] = []
        self.visit(module)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        if name == "super().__init__":
            bases = next((c.bases for c in reversed(self.around) if isinstance(c, ast.ClassDef)), [])
            name = next((b.id for b in bases if isinstance(b, ast.Name) and b.id in EXITS), name)
        if name in EXITS and node.args:
            self._take(node.args[0], EXITS[name])
        self.generic_visit(node)

    def _within(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self.around.append(node)
        self.generic_visit(node)
        self.around.pop()

    def _take(self, code: ast.expr, exit_code: int) -> None:
        handed = self._handed_in(code.id) if isinstance(code, ast.Name) else [code]
        texts = [v.value for v in handed if isinstance(v, ast.Constant) and isinstance(v.value, str)]
        self.found |= {(text, exit_code) for text in texts}
        if not texts:
            self.unclear.append(ast.unparse(code))

    def _handed_in(self, parameter: str) -> list[ast.expr]:
        """What the function around is called with for *parameter* in this module, and the parameter's default."""
        function = next(f for f in reversed(self.around) if isinstance(f, ast.FunctionDef))
        names = [a.arg for a in function.args.args if a.arg != "self"]
        keywords = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        values = [default for argument, default in keywords if argument.arg == parameter and default]
        for call in (n for n in ast.walk(self.module) if isinstance(n, ast.Call)):
            if ast.unparse(call.func).rpartition(".")[2] == function.name:
                values += [k.value for k in call.keywords if k.arg == parameter]
                values += call.args[names.index(parameter) :][:1] if parameter in names else []
        return values


@cache
def raised() -> Mapping[str, set[int]]:
    """Every code of an error with its exit codes; a gate's refusal has those of what it found."""
    special = {"world": {6, 4}, "freeze": {4}}
    found: dict[str, set[int]] = {f"gate-{gate}": special.get(gate, {3, 4}) for gate in GATES}
    for file in sorted((ROOT / "releaser").rglob("*.py")):
        if file.name != "errors.py":
            module = Raised(ast.parse(file.read_text(encoding="utf-8")))
            assert not module.unclear, f"{file.name}: no code that can be documented: {module.unclear}"
            for code, exit_code in module.found:
                found.setdefault(code, set()).add(exit_code)
    for code in re.findall(r"::error title=([a-z-]+)::", (ROOT / "action.yml").read_text(encoding="utf-8")):
        found.setdefault(code, set()).add(2)
    return found


def test_every_error_code_has_one_heading_and_none_is_stale() -> None:
    assert headings(DOCS / "errors.md") == sorted(raised())


def test_every_error_says_its_exit_codes() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    said = {
        code: {int(number) for number in re.findall(r"\d", exits)}
        for code, exits in re.findall(r"^## (\S+)\n\n(Exit \d(?: or \d)?)\.", text, re.MULTILINE)
    }
    assert said == raised()


def test_every_gate_has_a_heading() -> None:
    assert headings(DOCS / "gates.md") == GATES


# Generated pages, commands, policies


def test_the_generated_pages_are_current() -> None:
    command = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``releaser …`` in the page's commands and workflows."""
    for language, text in blocks(page):
        lines = text.replace("\\\n", " ").splitlines() if language in ("sh", "console", "yaml") else []
        for line in lines:
            if language == "console" and not line.startswith("$ "):
                continue
            for start in re.finditer(r"(?<![\w/.-])releaser (?=[a-z-])", line):
                words = shlex.shlex(line[start.end() :], posix=True, punctuation_chars="();<>|&")
                words.whitespace_split = True
                arguments = list(words)
                end = next((i for i, word in enumerate(arguments) if set(word) <= set("();<>|&")), len(arguments))
                yield arguments[:end]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_is_one_that_the_parser_takes(page: Path) -> None:
    for arguments in commands(page):
        assert _parser(arguments).parse_args(arguments).command == arguments[0]


def test_the_pages_show_every_step_of_a_release() -> None:
    shown = {arguments[0] for page in PAGES for arguments in commands(page)}
    assert shown >= {"plan", "assemble", "draft", "status", "approve", "reject", "publish", "ledger", "rehearse"}


def test_every_command_is_in_the_reference() -> None:
    assert headings(DOCS / "cli.md") == [f"`releaser {name}`" for name in COMMANDS]


@pytest.mark.parametrize("page", [README, DOCS / "policy.md"], ids=named)
def test_the_shortest_policy_is_one_that_can_be_used(page: Path) -> None:
    (text,) = [text for language, text in blocks(page) if language == "toml"]
    assert len(text.splitlines()) == 4
    assert Wiring(LineReporter()).read_policy(text, named(page)).publish


def test_the_quick_start_is_two_commands() -> None:
    start = README.read_text(encoding="utf-8").split("## Quick start")[1].split("\n## ")[0]
    assert re.findall(r"^make .*$", start, re.MULTILINE) == ["make demo", "make test"]


# Links


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as Python-Markdown and GitHub make it from their text."""
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings(page))
    return {re.sub(r"[-\s]+", "-", text) for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


# The tutorial

MARK = "-- end of a block --"


def pattern(line: str) -> str:
    """A regular expression for a line of output: ``…`` is anything, digests and ports differ from run to run."""
    volatile = (r"untagged-[0-9a-f]+", r"127\.0\.0\.1:\d+", r"[0-9a-f]{12,64}", r"…", r"\s+")
    parts = re.split(f"({'|'.join(volatile)})", line.strip())
    kinds = {"…": ".*"}
    return "".join(
        kinds.get(part) or next((v for v in volatile if re.fullmatch(v, part)), "") or re.escape(part) for part in parts
    )


def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "releaser"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m releaser "$@"\n')
    program.chmod(0o755)
    env = environment(PATH=f"{program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    steps = blocks(DOCS / "tutorial.md")
    scripts = [text for language, text in steps if language == "sh"]

    arguments = shlex.split(scripts[0])
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as world:
        guard = threading.Timer(SECONDS, world.kill)
        guard.start()
        try:
            outputs = [_until(world, "Ctrl-C here ends it")]
            script = "".join(f"{text}\necho '{MARK}'\n" for text in scripts[1:])
            done = subprocess.run(
                ["sh", "-eu", "-c", script],
                cwd=tmp_path,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        finally:
            guard.cancel()
            world.terminate()

    assert done.returncode == 0, done.stdout
    outputs += done.stdout.split(f"{MARK}\n")[:-1]
    assert len(outputs) == len(scripts)
    assert re.search(r"^harbor/tern +v0\.9\.0 +RELEASED$", outputs[-1], re.MULTILINE)
    shown = iter(outputs)
    output = ""
    for language, text in steps:
        if language == "sh":
            output = next(shown)
        else:
            seen = [line.strip() for line in output.splitlines()]
            for line in text.splitlines():
                assert any(re.fullmatch(pattern(line), real) for real in seen), f"{line!r} is not in:\n{output}"


def _until(process: subprocess.Popen[str], last: str) -> str:
    """What *process* prints up to the line *last*."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.strip() == last:
            return "".join(lines)
    raise AssertionError(f"it ended before it said {last!r}:\n{''.join(lines)}")


def test_the_contract_tables_have_every_case_and_no_other() -> None:
    assert set(rows_of((DOCS / "contracts.md").read_text())) == set(cases())
