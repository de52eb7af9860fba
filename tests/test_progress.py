import io

from clara.progress import Progress, duration


def test_the_line_has_rate_and_remaining_time_without_what_an_earlier_run_did():
    progress = Progress("split", total=100, unit="passages", done=40, stream=io.StringIO())
    progress.update(60)
    assert progress.line(2.0) == "split: 60 of 100 passages, 10.0 passages/s, 4 s left"


def test_bytes_are_written_with_a_prefix_and_an_unknown_total_gives_no_remaining_time():
    progress = Progress("download", total=None, unit="B", stream=io.StringIO())
    progress.update(3_000_000)
    assert progress.line(2.0) == "download: 3.0 M B, 1.5 M B/s"


def test_short_work_is_silent_and_long_work_ends_with_its_last_state():
    quiet, loud = io.StringIO(), io.StringIO()
    with Progress("a", total=2, unit="rows", stream=quiet) as progress:
        progress.update(2)
    with Progress("b", total=2, unit="rows", stream=loud, every_seconds=0) as progress:
        progress.update(1)
        progress.done = 2
    assert quiet.getvalue() == ""
    assert [line.split(" rows")[0] for line in loud.getvalue().splitlines()] == ["b: 1 of 2", "b: 2 of 2"]


def test_durations_read_well():
    assert [duration(value) for value in (4.4, 75, 7500)] == ["4 s", "1 min 15 s", "2 h 5 min"]
