"""Formulae and casks as text: pure functions of the settings and the manifest.

Both are Ruby programs that users run, so every text goes through one encoder, and what stands bare is our own.
Forms: Homebrew/brew docs/Formula-Cookbook.md, docs/Cask-Cookbook.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from releaser.adapters.delivery import Address, Command, File, License, Line, Source
from releaser.adapters.tap_item import Item
from releaser.model.policy import KindSettings

Platform = Literal["macos-arm64", "macos-x86_64", "linux-arm64", "linux-x86_64"]
PLATFORMS: tuple[Platform, ...] = ("macos-arm64", "macos-x86_64", "linux-arm64", "linux-x86_64")
FORMULA = re.compile(r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+|\+)*(?:@[0-9]+(?:\.[0-9]+)*)?")
CASK = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:@[a-z0-9]+(?:[.-][a-z0-9]+)*)?")


class FormulaSettings(KindSettings):
    """What a formula says beyond the manifest."""

    item: str | None = None
    """The formula's name, and its file's; the repository's name in lower case by default."""
    description: Line
    """One line, under 80 characters, that does not begin with the name."""
    homepage: Address
    """Where people read about it."""
    license: License
    """SPDX identifiers: one, or several joined by `OR` or by `AND`."""
    binary: Command | None = None
    """The command that is installed; the formula's name without `@…` by default."""
    assets: dict[Platform, Line] = Field(min_length=1)
    """The release's file for each of `macos-arm64`, `macos-x86_64`, `linux-arm64`, `linux-x86_64`: a name or pattern in
    which `{version}` and `{tag}` are replaced. An archive must hold the command at its top or in its only folder.
    """


class CaskSettings(KindSettings):
    """What a cask says beyond the manifest."""

    item: str | None = None
    """The cask's token, and its file's name; the repository's name in lower case by default."""
    description: Line
    """One line, under 80 characters, that does not begin with the name."""
    homepage: Address
    """Where people read about it."""
    binary: Command | None = None
    """The command that is installed; the cask's token without `@…` by default."""
    assets: dict[Platform, Line] = Field(min_length=1)
    """The release's file for each of `macos-arm64`, `macos-x86_64`, `linux-arm64`, `linux-x86_64`: a name or pattern in
    which `{version}` and `{tag}` are replaced. An archive must hold the command at its top.
    """


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that a rendering needs, checked."""

    name: str
    project: str
    binary: str
    version: str
    files: tuple[File, ...]


def render_formula(settings: FormulaSettings, source: Source) -> Item:
    """The formula of a release. Pure; raises ConfigError ``delivery-…`` for what cannot be rendered."""
    item = _parts(settings, source, FORMULA)
    needs, sources = _per_platform(item.files, lambda f: [f"url {_ruby(f.url)}", f"sha256 {_ruby(f.sha256)}"])
    ruby = _block(
        f"class {_class_name(item.name)} < Formula",
        [
            f"desc {_ruby(settings.description)}",
            f"homepage {_ruby(settings.homepage)}",
            f"version {_ruby(item.version)}",
            f"license {_license(settings.license)}",
        ],
        needs,
        sources,
        ["def install", *_indented(_install(item)), "end"],
        ["test do", f'  system bin/{_ruby(item.binary)}, "--version"', "end"],
    )
    return Item(item.name, ruby)


def render_cask(settings: CaskSettings, source: Source) -> Item:
    """The cask of a release. Pure; raises ConfigError ``delivery-…`` for what cannot be rendered.

    One address with the system and architecture put in where that gives all four files, blocks otherwise.
    """
    item = _parts(settings, source, CASK)
    about = [
        f"name {_ruby(item.project)}",
        f"desc {_ruby(settings.description)}",
        f"homepage {_ruby(settings.homepage)}",
    ]
    if words := _words(item):
        digest = {(file.os, file.arch): _ruby(file.sha256) for file in item.files}
        ruby = _block(
            f"cask {_ruby(item.name)} do",
            [
                f"arch arm: {_ruby(words['arm64'])}, intel: {_ruby(words['x86_64'])}",
                f"os macos: {_ruby(words['macos'])}, linux: {_ruby(words['linux'])}",
            ],
            [
                f"version {_ruby(item.version)}",
                f"sha256 arm:          {digest['macos', 'arm64']},",
                f"       intel:        {digest['macos', 'x86_64']},",
                f"       arm64_linux:  {digest['linux', 'arm64']},",
                f"       x86_64_linux: {digest['linux', 'x86_64']}",
            ],
            [f"url {_interpolated(item, item.files[0].url, words)}", *about],
            [_binary(item, item.files[0], words)],
        )
        return Item(item.name, ruby)
    same = not any(file.raw for file in item.files)

    def lines_of(file: File) -> list[str]:
        lines = [f"sha256 {_ruby(file.sha256)}", f"url {_interpolated(item, file.url, {})}"]
        return lines if same else [*lines, _binary(item, file, {})]

    needs, sources = _per_platform(item.files, lines_of)
    ruby = _block(
        f"cask {_ruby(item.name)} do",
        [f"version {_ruby(item.version)}"],
        sources,
        about,
        needs,
        [_binary(item, item.files[0], {})] if same else [],
    )
    return Item(item.name, ruby)


# What is rendered


def _parts(settings: FormulaSettings | CaskSettings, source: Source, form: re.Pattern[str]) -> _Parts:
    name = source.name(settings.item, form, "lower-case letters, digits and single dashes")
    return _Parts(
        name=name,
        project=source.manifest.repository.name.rpartition("/")[2],
        binary=settings.binary or name.partition("@")[0],
        version=source.version(),
        files=tuple(source.files(settings.assets, PLATFORMS).values()),
    )


def _per_platform(
    files: Sequence[File], source: Callable[[File], Sequence[str]]
) -> tuple[Sequence[str], Sequence[str]]:
    """Requirements, and the lines of *source* in as many ``on_…`` blocks as tell *files* apart.

    What there is no file for is required away rather than left without an address, which would be no valid item.
    """
    systems = [[file for file in files if file.os == os] for os in ("macos", "linux")]
    if not all(systems):
        needs, lines = _per_arch(files, source)
        return [f"depends_on :{files[0].os}", *needs], lines
    blocks = []
    for group in systems:
        needs, lines = _per_arch(group, source)
        blocks.append([f"on_{group[0].os} do", *_indented(_paragraphs(lines, needs)), "end"])
    return [], _paragraphs(*blocks)


def _per_arch(files: Sequence[File], source: Callable[[File], Sequence[str]]) -> tuple[Sequence[str], Sequence[str]]:
    if len(files) == 1:
        return [f"depends_on arch: :{files[0].arch}"], source(files[0])
    names = {"arm64": "arm", "x86_64": "intel"}
    return [], _paragraphs(*([f"on_{names[f.arch]} do", *_indented(source(f)), "end"] for f in files))


# Formulae


def _class_name(name: str) -> str:
    """``foo-bar@1.2`` is ``FooBarAT12`` (Library/Homebrew/formulary.rb, class_s)."""
    joined = re.sub(r"[-_.]([a-z0-9])", lambda match: match[1].upper(), name.capitalize())
    return joined.replace("+", "x").replace("@", "AT")


def _license(expression: str) -> str:
    for word, key in ((" OR ", "any_of"), (" AND ", "all_of")):
        if word in expression:
            return f"{key}: [{', '.join(_ruby(part) for part in expression.split(word))}]"
    return _ruby(expression)


def _install(item: _Parts) -> list[str]:
    """Homebrew enters an archive's only folder by itself; ``on_…`` blocks are not for use in here."""
    commands = [_installed(item, file) for file in item.files]
    if len(set(commands)) == 1:
        return commands[:1]
    tests = {"macos": "OS.mac?", "linux": "OS.linux?", "arm64": "Hardware::CPU.arm?", "x86_64": "Hardware::CPU.intel?"}
    lines: list[str] = []
    for file, command in zip(item.files, commands, strict=True):
        lines += [f"{'elsif' if lines else 'if'} {tests[file.os]} && {tests[file.arch]}", f"  {command}"]
    return [*lines, "end"]


def _installed(item: _Parts, file: File) -> str:
    if not file.raw or file.name == item.binary:
        return f"bin.install {_ruby(item.binary)}"
    return f"bin.install {_ruby(file.name)} => {_ruby(item.binary)}"


# Casks

_SPELLINGS = {
    "macos": re.compile("apple-darwin|darwin|macos|osx", re.IGNORECASE),
    "linux": re.compile("(?:unknown-)?linux(?:-gnu|-musl)?", re.IGNORECASE),
    "arm64": re.compile("aarch64|arm64", re.IGNORECASE),
    "x86_64": re.compile("x86_64|amd64|x64", re.IGNORECASE),
}


def _words(item: _Parts) -> dict[str, str]:
    """How the files spell each system and architecture, when one name with these put in gives them all; else empty."""
    if len(item.files) != len(PLATFORMS) or len({file.raw for file in item.files}) != 1:
        return {}
    words: dict[str, str] = {}
    templates = set()
    for file in item.files:
        template = file.name
        for key, slot in ((file.arch, "{arch}"), (file.os, "{os}")):
            found = _SPELLINGS[key].findall(template)
            if len(found) != 1 or words.setdefault(key, found[0]) != found[0]:
                return {}
            template = template.replace(found[0], slot)
        templates.add(template)
    return words if len(templates) == 1 else {}


def _interpolated(item: _Parts, text: str, words: dict[str, str]) -> str:
    """A Ruby string for *text*, of the first file, that names the version, and *words* in its last part, by variable.

    Each variable holds exactly what it stands for, and neither alphabet has a character that the encoder changes.
    """
    folder, slash, name = _ruby(text).rpartition("/")
    first = item.files[0]
    if words:
        name = name.replace(words[first.arch], "#{arch}").replace(words[first.os], "#{os}")
    return (folder + slash + name).replace(item.version, "#{version}")


def _binary(item: _Parts, file: File, words: dict[str, str]) -> str:
    if not file.raw or file.name == item.binary:
        return f"binary {_ruby(item.binary)}"
    return f"binary {_interpolated(item, file.name, words)}, target: {_ruby(item.binary)}"


# Ruby


def _ruby(text: str) -> str:
    """*text* as a double-quoted Ruby literal that evaluates to it and to nothing else.

    Half a surrogate pair, which no file can hold, becomes U+FFFD.
    """
    quoted = re.sub(r'["\\]|#(?=[{$@])', lambda match: "\\" + match[0], text)
    return '"' + "".join(char if char.isprintable() else _code_point(char) for char in quoted) + '"'


def _code_point(char: str) -> str:
    return f"\\u{{{0xFFFD if 0xD800 <= ord(char) <= 0xDFFF else ord(char):x}}}"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _paragraphs(*groups: Sequence[str]) -> list[str]:
    """The lines of all *groups* that have any, with an empty line between groups."""
    lines: list[str] = []
    for group in groups:
        lines += ["", *group] if lines and group else group
    return lines


def _block(head: str, *groups: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in (head, *_indented(_paragraphs(*groups)), "end"))
