"""What package managers are given, judged by what nobody here wrote.

Formulae and casks by Ruby's own compiler, which never runs them; app manifests by Scoop's JSON Schema; package
manifests by the XML Schema of Chocolatey's NuGet; install scripts by tree-sitter's grammar of PowerShell; packages and
the rehearsal feed by a NuGet client.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_powershell
from jsonschema import Draft7Validator, FormatChecker
from tree_sitter import Language, Node, Parser
from xmlschema import XMLSchema, XMLSchemaValidationError

from releaser.adapters.delivery import Source
from releaser.adapters.homebrew import HomebrewCask, HomebrewFormula
from releaser.adapters.homebrew_render import CaskSettings, FormulaSettings
from releaser.adapters.nupkg import NUSPEC, ChocolateySettings, render
from releaser.adapters.scoop import Scoop, ScoopSettings
from releaser.model.spelling import Ecosystem
from releaser.rehearsal.chocolatey import Chocolatey as Feed
from releaser.rehearsal.server import Faults, Journal
from tests.adapters.taps import BASE, manifest
from tests.contracts.table import Column, columns

TITLE = "Package managers' own tools"

SCHEMAS = Path(__file__).parent / "schemas"
GOLDEN = Path(__file__).parent.parent / "adapters" / "golden"
UNIX = {"macos-arm64": "tool-mac", "linux-x86_64": "tool-linux"}
WINDOWS = {"windows-x86_64": "tool-x64.zip", "windows-x86": "tool-x86.zip"}
HOMEPAGE = "https://tool.example.invalid/?a=1&b='2'#\"#{x}$(y)`z`"
HOSTILE = {
    "quotes": 'it\'s "quoted" \u2018\u2019\u201a\u201b\u201c\u201d, and long enough',
    "interpolation of Ruby": "#{`id`} #$0 #@a #@@b \\#{1} and so on and on",
    "interpolation of PowerShell": "$(Get-Date) ${env:PATH} $x `n `$ @args and so on",
    "here-strings": "\"@ '@ @\" @' and then something that is long",
    "mark-up": "<b>&amp; ]]> <!-- --> <?x?> &lt; and so on and on",
    "a way out of JSON": '"}, {"pre_install": "x", "a": "\\',
    "a way out of Ruby": '"; system("id"); " __END__ =begin and so on',
    "odd characters": "\u2028 \u202e \x85 \U0001f426 \ufeff é and so on and on and on",
}
"""Values that mean something in one of the formats, one line each."""


@pytest.fixture(autouse=True, params=columns(Column("tools", "the managers' own tools")))
def judge() -> None:
    """Who says whether a case passes."""


def described(form: type[Any], assets: Mapping[str, str], description: str, **more: Any) -> Any:
    return form.model_validate({"description": description, "homepage": HOMEPAGE, "assets": assets, **more})


def source(manager: Ecosystem, assets: Mapping[str, str]) -> Source:
    return Source(manager, manifest(dict(assets)), BASE)


hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


# Homebrew

COMPILED = """
require "json"
def walk(sequence, found)
  literals = []
  sequence[13].each do |step|
    next unless step.is_a?(Array)
    case step[0].to_s
    when /\\Aput(chilled)?string\\z/, "putobject" then literals << step[1] if step[1].is_a?(String)
    when /send/
      found << [step[1][:mid], literals]
      literals = []
    end
    step.each { |part| walk(part, found) if part.is_a?(Array) && part[0].to_s.start_with?("YARV") }
  end
end
found = []
walk(RubyVM::InstructionSequence.compile($stdin.read).to_a, found)
puts JSON.dump(found)
"""
"""Prints every method that a program would call, in order, with the texts it was given, as the compiler read them."""

PLATFORM_CALLS = ["url", "sha256"]
ABOUT_FORMULA = ["desc", "homepage", "version", "license"]
ADDRESS = ["version", "version", "url"]
ABOUT_CASK = ["name", "desc", "homepage"]
INSTALL = ["bin", "install", "test", "bin", "system"]
CHIPS = [call for arch in ("arm", "intel") for call in (f"on_{arch}", *PLATFORM_CALLS)]
FOUR = ["on_macos", *CHIPS, "on_linux", *CHIPS]
CHOSEN = [call for os in ("mac?", "linux?") for arch in ("arm?", "intel?") for call in (os, arch, *INSTALL[:2])]
ALL_FOUR = ["cask", "arch", "os", "version", "sha256"]
MACS = [call for arch in ("arm", "intel") for call in (f"on_{arch}", "sha256", *ADDRESS)]
NAMED = [call for arch in ("arm", "intel") for call in (f"on_{arch}", "sha256", "version", "url", "binary")]
CALLS: Mapping[str, Sequence[str]] = {
    "formula-archives": [*ABOUT_FORMULA, *FOUR, *INSTALL],
    "formula-hostile": [*ABOUT_FORMULA, *FOUR, *INSTALL],
    "formula-three-platforms": [
        *ABOUT_FORMULA,
        "on_macos",
        *PLATFORM_CALLS,
        "depends_on",
        "on_linux",
        *CHIPS,
        *INSTALL,
    ],
    "formula-versioned": [*ABOUT_FORMULA, "depends_on", *CHIPS, *INSTALL],
    "formula-binaries": [*ABOUT_FORMULA, *FOUR, *CHOSEN, *INSTALL[2:]],
    "formula-one-platform": [*ABOUT_FORMULA, "depends_on", "depends_on", *PLATFORM_CALLS, *INSTALL],
    "cask-one-platform": ["cask", "version", "sha256", *ADDRESS, *ABOUT_CASK, "depends_on", "depends_on", "binary"],
    "cask-archives": [*ALL_FOUR, "version", "version", "arch", "os", "url", *ABOUT_CASK, "binary"],
    "cask-hostile": [*ALL_FOUR, "version", "version", "arch", "os", "url", *ABOUT_CASK, "binary"],
    "cask-binaries": [*ALL_FOUR, "version", "os", "arch", "url", *ABOUT_CASK, "os", "arch", "binary"],
    "cask-macos": ["cask", "version", *MACS, *ABOUT_CASK, "depends_on", "binary"],
    "cask-uneven-names": ["cask", "version", "on_macos", *NAMED, "on_linux", *NAMED, *ABOUT_CASK],
}
"""What each golden file consists of."""
KNOWN = {call for calls in CALLS.values() for call in calls}


def ruby(program: str) -> list[tuple[str, list[str]]]:
    """The methods that *program* would call, with their texts; it is compiled and not run."""
    done = subprocess.run(
        ["ruby", "--disable-gems", "-e", COMPILED], input=program.encode(), capture_output=True, check=True
    )
    return [(name, texts) for name, texts in json.loads(done.stdout)]


@pytest.mark.clients("ruby")
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.rb")), ids=lambda path: path.stem)
def test_ruby_reads_what_we_render_as_exactly_the_expected_fields(path: Path) -> None:
    """`ruby -c` and Ruby's compiler read exactly the expected fields of formulae and casks."""
    checked = subprocess.run(["ruby", "-c", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "Syntax OK\n")
    calls = [name for name, _ in ruby(path.read_text(encoding="utf-8"))]
    assert calls == list(CALLS[path.stem])


@pytest.mark.clients("ruby")
@hostile
def test_ruby_reads_every_text_as_it_was_given(text: str) -> None:
    """Ruby's compiler reads every text of a formula and a cask as it was given."""
    formula = described(FormulaSettings, UNIX, text, license="MIT")
    cask = described(CaskSettings, UNIX, text)
    made = HomebrewFormula.render(formula, source(Ecosystem.HOMEBREW, UNIX)).text
    also = HomebrewCask.render(cask, source(Ecosystem.HOMEBREW, UNIX)).text
    for calls in (ruby(made), ruby(also)):
        said = {name: texts for name, texts in calls if name in ("desc", "homepage")}
        assert said == {"desc": [text], "homepage": [HOMEPAGE]}
        assert {name for name, _ in calls} <= KNOWN


# Scoop


@cache
def scoop_schema() -> Draft7Validator:
    schema = json.loads((SCHEMAS / "scoop.json").read_bytes())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=FormatChecker())


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("scoop-*.json")), ids=lambda path: path.stem)
def test_scoops_own_schema_takes_what_we_render(path: Path) -> None:
    """Scoop's own schema takes an app's manifest."""
    assert [error.message for error in scoop_schema().iter_errors(json.loads(path.read_bytes()))] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"license": None}, "license", id="no licence"),
        pytest.param({"version": "1 2"}, "1 2", id="a blank in the version"),
        pytest.param({"installs": "x"}, "installs", id="an unknown key"),
        pytest.param({"architecture": {"64bit": {"hash": "0" * 64}}}, "url", id="no address"),
        pytest.param({"architecture": {"64bit": {"url": "https://x/$version"}}}, "$version", id="a template"),
        pytest.param({"architecture": {"64bit": {"url": "https://x/", "hash": "00"}}}, "00", id="a short digest"),
        pytest.param({"shortcuts": [["one"]]}, "one", id="half a shortcut"),
    ],
)
def test_scoops_own_schema_refuses_what_is_wrong(change: dict[str, Any], named: str) -> None:
    """Scoop's own schema refuses a manifest that is wrong in one place."""
    app = json.loads((GOLDEN / "scoop-archives.json").read_bytes()) | change
    errors = scoop_schema().iter_errors({key: value for key, value in app.items() if value is not None})
    assert any(named in error.message for error in errors)


@hostile
def test_json_holds_every_text_as_it_was_given(text: str) -> None:
    """An app's manifest holds every text as it was given, and Scoop's own schema takes it."""
    app = json.loads(
        Scoop.render(
            described(ScoopSettings, WINDOWS, text, license="MIT", shortcut=text), source(Ecosystem.SCOOP, WINDOWS)
        ).text
    )
    assert (app["description"], app["homepage"], app["shortcuts"]) == (text, HOMEPAGE, [["tool.exe", text]])
    assert [error.message for error in scoop_schema().iter_errors(app)] == []


# Chocolatey

UNSUPPORTED = ("icon", "license", "readme", "repository", "serviceable", "packageTypes", "frameworkReferences")
"""Elements of NuGet's that Chocolatey does not take (chocolatey/choco infrastructure.app/rules)."""


@cache
def nuspec_schema() -> XMLSchema:
    return XMLSchema((SCHEMAS / "nuspec.xsd").read_text(encoding="utf-8").replace("{0}", NUSPEC))


def chocolatey(text: str, assets: Mapping[str, str] = WINDOWS, **more: Any) -> zipfile.ZipFile:
    """A package in which *text* is whatever may be free text, opened."""
    keys = {"authors": text, "title": text, "summary": text, "tags": ["tool"], **more}
    made = render(described(ChocolateySettings, assets, text, **keys), source(Ecosystem.CHOCOLATEY, assets))
    return zipfile.ZipFile(BytesIO(made.content))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.nuspec")), ids=lambda path: path.stem)
def test_chocolateys_own_schema_takes_what_we_render(path: Path) -> None:
    """The schema of Chocolatey's NuGet takes a package's manifest, without elements unknown to it."""
    text = path.read_text(encoding="utf-8")
    nuspec_schema().validate(text)
    assert not [name for name in UNSUPPORTED if re.search(f"<{name}[ >]", text)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("<authors>The Tool Makers</authors>", "", id="no author"),
        pytest.param("<tags>", "<tags>a</tags><tags>", id="tags twice"),
        pytest.param("<id>tool</id>", "<id>tool</id><colour>red</colour>", id="an unknown element"),
        pytest.param(">false<", ">maybe<", id="no truth"),
        pytest.param(NUSPEC, "urn:x", id="another namespace"),
    ],
)
def test_chocolateys_own_schema_refuses_what_is_wrong(old: str, new: str) -> None:
    """The schema of Chocolatey's NuGet refuses a manifest that is wrong in one place."""
    text = (GOLDEN / "chocolatey.nuspec").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(XMLSchemaValidationError):
        nuspec_schema().validate(text.replace(old, new))


@hostile
def test_xml_holds_every_text_as_it_was_given(text: str) -> None:
    """The schema of Chocolatey's NuGet reads every text of a package's manifest as it was given."""
    with chocolatey(text) as package:
        found: Any = nuspec_schema().to_dict(package.read("tool.nuspec").decode(), namespaces={"": NUSPEC})
    stated = {key: found["metadata"][key] for key in ("title", "authors", "summary", "description", "projectUrl")}
    assert stated == {**dict.fromkeys(("title", "authors", "summary", "description"), text), "projectUrl": HOMEPAGE}


# PowerShell


@cache
def powershell() -> Parser:
    return Parser(Language(tree_sitter_powershell.language()))


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def texts(root: Node, kind: str) -> list[str]:
    return [(node.text or b"").decode() for node in nodes(root) if node.type == kind]


COMMANDS = {
    "archives": "Install-ChocolateyZipPackage",
    "program": "Get-ChocolateyWebFile",
    "msi": "Install-ChocolateyPackage",
    "installer": "Install-ChocolateyPackage",
}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.ps1")), ids=lambda path: path.stem)
def test_an_install_script_is_powershell_that_does_one_thing(path: Path) -> None:
    """By the grammar of PowerShell an install script calls one command and expands nothing."""
    root = powershell().parse(path.read_text(encoding="utf-8-sig").encode()).root_node
    assert not root.has_error
    commands = [name for name in texts(root, "command_name") if name != "Join-Path"]
    assert commands == ["Split-Path", COMMANDS[path.stem.partition("-")[2]]]
    assert texts(root, "expandable_string_literal") == texts(root, "sub_expression") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("'tool'", "'tool", id="a literal without end"),
        pytest.param("'tool'", "'it's'", id="a quotation mark that is not doubled"),
        pytest.param("}", "", id="a table without end"),
        pytest.param("packageName ", "= ", id="a value without key"),
        pytest.param("@packageArgs", "@", id="half a splat"),
    ],
)
def test_the_grammar_sees_what_is_wrong(old: str, new: str) -> None:
    """The grammar of PowerShell refuses a script that is wrong in one place."""
    script = (GOLDEN / "chocolatey-archives.ps1").read_text(encoding="utf-8-sig")
    assert old in script
    assert powershell().parse(script.replace(old, new, 1).encode()).root_node.has_error


@hostile
def test_powershell_reads_every_text_as_it_was_given(text: str) -> None:
    """The grammar of PowerShell reads every text of an install script as one literal, as it was given.

    By the language's own rule: in a literal, any of its five single quotation marks stands for itself doubled.
    """
    program = {"windows-x86_64": "tool.exe"}
    with chocolatey(text, program, **{"silent-args": text}) as package:
        script = package.read("tools/chocolateyinstall.ps1")
    root = powershell().parse(script.removeprefix(b"\xef\xbb\xbf")).root_node
    assert not root.has_error
    (entry,) = [n for n in nodes(root) if n.type == "hash_entry" and (n.text or b"").startswith(b"silentArgs")]
    (literal,) = texts(entry, "verbatim_string_characters")
    assert re.sub("['\u2018\u2019\u201a\u201b]{2}", lambda pair: pair[0][0], literal[1:-1]) == text
    assert re.fullmatch("'(?:[^'\u2018\u2019\u201a\u201b]|(['\u2018\u2019\u201a\u201b])\\1)*'", literal)
    assert script.startswith(b"\xef\xbb\xbf")


# NuGet


def nuget(home: Path, *arguments: str) -> str:
    """What a NuGet client says; it is given *home* to live in, and must succeed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    done = subprocess.run(
        ["nuget", *arguments, "-NonInteractive"], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.clients("nuget")
def test_a_nuget_client_opens_pushes_and_installs_a_package(tmp_path: Path) -> None:
    """A NuGet client opens a package, pushes it to the rehearsal feed, and installs it from there.

    A package that we made, from a folder; then through the rehearsal feed, by the client alone.
    """
    made = render(
        described(ChocolateySettings, WINDOWS, HOSTILE["mark-up"], authors="A & B", tags=["a"]),
        source(Ecosystem.CHOCOLATEY, WINDOWS),
    )
    folder, name = tmp_path / "from", "tool.1.2.3.nupkg"
    folder.mkdir()
    (folder / name).write_bytes(made.content)
    feed = Feed(tmp_path / "feed", Journal(), Faults())
    feed.start()
    try:
        nuget(tmp_path, "install", "tool", "-Source", str(folder), "-OutputDirectory", "opened")
        assert "was pushed" in nuget(tmp_path, "push", f"from/{name}", feed.api_key, "-Source", feed.url)
        nuget(tmp_path, "install", "tool", "-Source", feed.feed, "-OutputDirectory", "installed", "-NoCache")
    finally:
        feed.stop()
    script = Path("tool.1.2.3", "tools", "chocolateyinstall.ps1")
    with zipfile.ZipFile(BytesIO(made.content)) as archive:
        wanted = archive.read("tools/chocolateyinstall.ps1")
    assert [(tmp_path / where / script).read_bytes() for where in ("opened", "installed")] == [wanted] * 2
    assert (tmp_path / "installed" / "tool.1.2.3" / name).read_bytes() == made.content
