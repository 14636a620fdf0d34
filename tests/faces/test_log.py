"""Progress for people and programs: one line an event, nothing secret, nothing that commands a terminal."""

from __future__ import annotations

import io
import json

import pytest

from releaser.errors import ConflictError
from releaser.faces.log import BarReporter, JsonReporter, LineReporter, reporter

TOKEN = "ghs_" + "a1B2" * 9
HOSTILE = f"x\n::error::y\x1b[2J {TOKEN}"


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def test_an_event_is_one_sentence(out: io.StringIO) -> None:
    LineReporter(out).say("visible", publication="sdk", registry="pypi")
    assert out.getvalue() == "sdk is visible at pypi\n"


def test_lists_are_words(out: io.StringIO) -> None:
    LineReporter(out).say("preflight-passed", targets=["client", "sdk"])
    assert out.getvalue() == "preflight: every trusted publisher answers for client, sdk\n"


def test_an_event_without_a_sentence_is_shown_anyway(out: io.StringIO) -> None:
    LineReporter(out).say("something-new", where="here", count=2)
    assert out.getvalue() == "something-new where=here count=2\n"


@pytest.mark.parametrize("event", ["sent", "something-new", "stopped"])
def test_a_strangers_words_stay_on_their_line_without_secrets(out: io.StringIO, event: str) -> None:
    facts = {"effect": "e", "answer": "refused", "detail": HOSTILE, "reason": HOSTILE, "found": HOSTILE}
    LineReporter(out).say(event, **facts)
    assert out.getvalue().removesuffix("\n").isprintable()
    assert TOKEN not in out.getvalue()
    assert "[redacted]" in out.getvalue()


def test_a_transfer_is_a_line_when_it_ended(out: io.StringIO) -> None:
    with LineReporter(out).transfer("a\nb.whl", 1_500_000) as progress:
        progress(1_500_000)
        assert out.getvalue() == ""
    assert out.getvalue() == "a\\nb.whl (1.5 MB)\n"


def test_a_transfer_that_failed_is_no_line(out: io.StringIO) -> None:
    with pytest.raises(ConflictError), LineReporter(out).transfer("a.whl", 1):
        raise ConflictError("c", "m")
    assert out.getvalue() == ""


def test_events_for_programs_are_json_with_time_and_level(out: io.StringIO) -> None:
    log = JsonReporter(out)
    log.say("sent", effect="e", answer="accepted", detail=HOSTILE)
    with log.transfer("a.whl", 7) as progress:
        progress(7)
    log.fail(ConflictError("asset-extra", "m", object="o", found=HOSTILE, wanted="w", hint="h"))
    sent, moved, failed = (json.loads(line) for line in out.getvalue().splitlines())
    assert (sent["event"], sent["level"], sent["answer"]) == ("sent", "info", "accepted")
    assert sent["timestamp"].endswith("Z")
    assert (moved["event"], moved["name"], moved["size"]) == ("transferred", "a.whl", 7)
    assert (failed["level"], failed["code"], failed["exit"], failed["hint"]) == ("error", "asset-extra", 6, "h")
    assert TOKEN not in out.getvalue()


def test_bars_show_what_lines_show(capsys: pytest.CaptureFixture[str]) -> None:
    bars = BarReporter()
    bars.say("visible", publication="sdk [bold]", registry="pypi")
    with bars.transfer("a.whl", 2_000) as progress:
        progress(2_000)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "sdk [bold] is visible at pypi\n" in shown.err
    assert "a.whl (2.0 kB)\n" in shown.err


def test_the_reporter_fits_stderr() -> None:
    assert isinstance(reporter("json"), JsonReporter)
    assert isinstance(reporter("text"), LineReporter)
