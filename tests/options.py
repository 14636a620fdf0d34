"""Arguments that the proof tools share: what asks for nothing, or loses what was found, is refused before the work."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def writable(text: str) -> Path:
    """A file that can be written."""
    path = Path(text)
    try:
        path.open("a").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {error.strerror}") from error
    return path
