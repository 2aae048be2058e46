"""What a long loop says of itself."""

import logging

import pytest

from distil.runtime import progress
from distil.runtime.progress import Progress, format_rate


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0.0, "0/s"), (0.05, "20.0 s each"), (0.8, "1.2 s each"), (3.26, "3.3/s"), (2104.4, "2,104/s")],
)
def test_a_slow_pace_is_told_in_seconds_for_each(rate: float, words: str) -> None:
    assert format_rate(rate) == words


def test_what_an_earlier_run_did_counts_as_done_and_not_in_the_rate(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO, "distil"), Progress("adapt", 1000, "steps") as shown:
        shown.skip(500)
        now[0] += 60
        shown.add(20)
        now[0] += 30
    assert shown.added == 20
    assert [record.getMessage() for record in caplog.records] == [
        "adapt: 520 of 1,000 steps, 3.0 s each, 1440 s left",
        "adapt: 20 steps in 90.0 s (4.5 s each)",
    ]
