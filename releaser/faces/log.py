"""What a person sees while work goes on: progress bars on a terminal, plain lines elsewhere, JSON when asked.

Everything goes to stderr; stdout is for results.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO

from releaser.adapters.redact import redact
from releaser.errors import ReleaserError

if TYPE_CHECKING:
    from rich.progress import Progress

_WORDS = {
    "draft-found": "found the draft {url}; {missing} files to upload",
    "draft-created": "created the draft {url}; {missing} files to upload",
    "approval-unreadable": "ignored {asset}: not an approval record ({code})",
    "preflight-refused": "preflight: {object}: {reason}",
    "preflight-passed": "preflight: every trusted publisher answers for {targets}",
    "pace": "{versions} new versions at {registry} take at least {minutes} minutes",
    "release-public": "the release is public: {url}",
    "sent": "{effect}: {answer} {detail}",
    "waiting": "{publication}: waiting for {what} at {registry}",
    "visible": "{publication} is visible at {registry}",
    "refused": "{publication}: {reason} ({found})",
    "stopped": "stopped: {reason} ({found})",
    "delivered": "{downstream}: {detail}",
    "delivery-failed": "{downstream}: {reason}",
    "ledger": "ledger: {records} records at {where}, head {head}",
    "rehearsal": "{text}",
}


class LineReporter:
    """Plain lines, one an event; transfers are a line each when they end."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def say(self, event: str, **facts: Any) -> None:
        self._line(_sentence(event, facts))

    @contextmanager
    def transfer(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda _: None
        self._line(f"{shown(name)} ({size(total)})")

    def _line(self, text: str) -> None:
        with self._lock:
            print(text, file=self._stream, flush=True)


class BarReporter:
    """Progress bars with `rich`, for a terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._lock = threading.Lock()
        self._running = 0

    def say(self, event: str, **facts: Any) -> None:
        self._bars().console.print(_sentence(event, facts), markup=False, highlight=False)

    @contextmanager
    def transfer(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        bars = self._bars()
        with self._lock:
            self._running += 1
            if self._running == 1:
                bars.start()
        task = bars.add_task(shown(name), total=total)
        try:
            yield lambda step: bars.advance(task, step)
        finally:
            with self._lock:
                self._running -= 1
                bars.remove_task(task)
                if not self._running:
                    bars.stop()
        bars.console.print(f"{shown(name)} ({size(total)})", markup=False, highlight=False)

    def _bars(self) -> Progress:
        with self._lock:
            if self._progress is None:
                from rich.console import Console
                from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

                self._progress = Progress(
                    TextColumn("{task.description}", markup=False),
                    BarColumn(),
                    DownloadColumn(),
                    TransferSpeedColumn(),
                    console=Console(stderr=True),
                    transient=True,
                )
            return self._progress


class JsonReporter:
    """One JSON object a line, by structlog: ``event``, ``level``, ``timestamp`` (UTC) and the event's facts."""

    def __init__(self, stream: TextIO | None = None) -> None:
        import structlog

        self._log = structlog.wrap_logger(
            structlog.WriteLogger(stream or sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _redacted,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )

    def say(self, event: str, **facts: Any) -> None:
        self._log.info(event, **facts)

    @contextmanager
    def transfer(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda _: None
        self._log.info("transferred", name=name, size=total)

    def fail(self, error: ReleaserError) -> None:
        """The error that ended a command, part by part."""
        self._log.error(
            "failed",
            code=error.code,
            message=error.message,
            object=error.object,
            found=error.found,
            wanted=error.wanted,
            hint=error.hint,
            exit=int(error.exit),
        )


def reporter(log_format: str) -> LineReporter | BarReporter | JsonReporter:
    """The reporter for ``text`` (bars on a terminal) or ``json``."""
    if log_format == "json":
        return JsonReporter()
    return BarReporter() if sys.stderr.isatty() else LineReporter()


def shown(text: str) -> str:
    """*text* safe for a terminal: control, bidirectional and other invisible characters are written out (T2, T20).

    So is ``##[``, which begins a command wherever it stands in a job's log (actions/runner ActionCommand.cs).
    """
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return safe.replace("##[", "#\\x23[")


def size(count: int) -> str:
    """Bytes for people: ``4.2 MB``."""
    if count < 1000:
        return f"{count} B"
    exponent = min((len(str(count)) - 1) // 3, 3)
    return f"{count / 1000**exponent:.1f} {'BkMG'[exponent]}B"


def _sentence(event: str, facts: dict[str, Any]) -> str:
    words = {k: shown(redact(", ".join(v) if isinstance(v, list) else str(v))) for k, v in facts.items()}
    template = _WORDS.get(event)
    if template is None:
        return " ".join((event, *(f"{k}={v}" for k, v in words.items())))
    return template.format_map(words).rstrip()


def _redacted(_logger: Any, _name: str, event: Any) -> Any:
    return {k: redact(v) if isinstance(v, str) else v for k, v in event.items()}
