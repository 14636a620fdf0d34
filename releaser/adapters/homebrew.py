"""Homebrew: a formula or a cask in a tap.

Places: Homebrew/brew docs/Taps.md, docs/How-to-Create-and-Maintain-a-Tap.md.
"""

from __future__ import annotations

import re

from releaser.adapters.delivery import S
from releaser.adapters.homebrew_render import CaskSettings, FormulaSettings, render_cask, render_formula
from releaser.adapters.tap_item import TapItem
from releaser.model.spelling import Ecosystem


class _Homebrew(TapItem[S]):
    manager = Ecosystem.HOMEBREW
    suffix = ".rb"

    @staticmethod
    def version_in(text: str) -> str | None:
        """As a formula or cask states it, or as it stands in the address of a release file."""
        stated = re.search(r'^\s*version\s+"([^"]*)"', text, re.MULTILINE)
        stated = stated or re.search(r'/releases/download/[^/"]*?(\d+\.\d+\.\d+[^/"]*)/', text)
        return stated[1] if stated else None


class HomebrewFormula(_Homebrew[FormulaSettings]):
    """A formula for prebuilt programs."""

    kind = "homebrew-formula"
    folders = ("Formula", "HomebrewFormula", "")
    Settings = FormulaSettings
    render = staticmethod(render_formula)


class HomebrewCask(_Homebrew[CaskSettings]):
    """A cask for prebuilt programs."""

    kind = "homebrew-cask"
    folders = ("Casks",)
    Settings = CaskSettings
    render = staticmethod(render_cask)
