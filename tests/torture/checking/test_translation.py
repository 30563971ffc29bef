"""What clients note, as transactions: a sound record is not accused, and each false one is, for what is false in it."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from perdure.torture.checking.judgement import judge
from perdure.torture.checking.records import Answer, Asked, Call, Notebook, Point, Record, read_records
from perdure.torture.checking.subjects import END
from perdure.torture.checking.transactions import Happened
from perdure.torture.checking.translation import translate

RUN, CHILD = "s2n0.", "s2n0./a"
LIST = ("n", "a", "b", "b'", END)
PLACES = ((1, 3), (1, 6), (1, 9), (1, 10), (1, 14))
_numbers = count(1)


def made(
    asked: Asked,
    at: tuple[int, int],
    *,
    run: str = RUN,
    client: str = "c",
    happened: Happened = Happened.YES,
    error: str = "",
    seen: dict[str, Any] | None = None,
    **how: Any,
) -> list[Record]:
    """Return the records of a call and its answer."""
    number = next(_numbers)
    return [
        Call(client=client, number=number, at=at[0], asked=asked, run=run, **how),
        Answer(client=client, number=number, at=at[1], happened=happened, error=error, **(seen or {})),
    ]


def refused(asked: Asked, at: tuple[int, int], error: str, **how: Any) -> list[Record]:
    return made(asked, at, happened=Happened.NO, error=error, **how)


def rows(*seen: tuple[str, int, int, bool]) -> dict[str, Any]:
    return {"rows": seen}


def held(run: str, token: int, enter: int, leave: int) -> list[Record]:
    return [
        Point(what="enter", run=run, key="red", token=token, at=enter),
        Point(what="leave", run=run, key="red", token=token, at=leave),
    ]


def sound() -> list[Record]:
    """Return what is noted of a run that is started by two, takes in `a` with a child and `b` as a pair, and ends."""
    return [
        *refused("describe", (1, 2), "RunNotFoundError"),
        *made("start", (10, 20), value="n"),
        *made("start", (15, 30), client="d", value="m"),
        *refused("query", (31, 32), "InvalidArgumentError"),
        *made("signal", (40, 50), value="a", has_child=True),
        *made("update", (60, 70), client="d", value="b", is_pair=True, request=True, seen={"entries": LIST[:4]}),
        *made("update", (71, 74), client="d", value="b", is_pair=True, request=True, seen={"entries": LIST[:4]}),
        *made("query", (75, 76), seen={"entries": LIST[:4]}),
        *made("describe", (77, 78), seen=rows((RUN, 1, 11, False))),
        *made("signal", (80, 90), value=END, request=True),
        *refused("update", (100, 101), "RunClosedError", value="e"),
        *made("page", (102, 104), seen=rows((RUN, 1, 15, True), (CHILD, 1, 4, True))),
        *made("result", (105, 106), seen={"entries": LIST}),
        *made("stream", (107, 108), seen={"entries": LIST, "positions": PLACES}),
        *made("follow", (61, 95), client="f", seen={"entries": LIST[:3], "times": (62, 63, 72)}),
        *made("hold", (200, 210), run="hv.", value="v", key="red"),
        *made("hold", (201, 211), run="hw.", value="w", key="red", client="d"),
        *made("locks", (212, 213), run="", key="red", seen={"line": ((7, "hw.", True), (8, "hv.", False))}),
        *held("hw.", 7, 205, 220),
        *held("hv.", 8, 230, 240),
        *made("locks", (241, 242), run="", key="red", seen={"line": ()}),
    ]


ENDED = ((RUN, 1, 15, True), (CHILD, 1, 4, True), ("hw.", 1, 9, True), ("hv.", 1, 9, True))
FALSE: dict[str, tuple[str, list[Record]]] = {
    "an acknowledged signal that was not taken in": ("G0-realtime", made("signal", (35, 39), client="e", value="lost")),
    "an acknowledged update that nobody sees": (
        "lost element",
        made("update", (35, 39), value="lost", seen={"entries": ("n", "lost")}),
    ),
    "a list of something else": ("incompatible order", made("query", (75, 77), seen={"entries": (*LIST[:2], "e")})),
    "half of a pair": ("G1b (intermediate read)", made("query", (60, 77), seen={"entries": LIST[:3]})),
    "a request that is answered otherwise when it is made again": (
        "answer",
        made("update", (72, 76), client="e", value="b", is_pair=True, request=True, seen={"entries": LIST}),
    ),
    "a run that is open after its end": (
        "G-single-realtime",
        made("describe", (105, 106), client="e", seen=rows((RUN, 1, 11, False))),
    ),
    "a run that is missing after its start": (
        "G-single-realtime",
        refused("describe", (33, 34), "RunNotFoundError", client="e"),
    ),
    "a description without what was answered": (
        "G-single-realtime",
        made("describe", (75, 76), client="e", seen=rows((RUN, 1, 8, False))),
    ),
    "a page with a step and without its child": ("G-single", made("page", (40, 60), seen=rows((RUN, 1, 7, False)))),
    "an error that nothing explains": ("answer", refused("signal", (33, 34), "InternalError", value="odd")),
    "damage of what nobody damaged": ("answer", refused("query", (75, 76), "DamagedHistoryError")),
    "an update that was left by a run that goes on": (
        "G1c-realtime",
        refused("update", (33, 34), "UpdateFailedError", value="odd", client="e"),
    ),
    "a signal to a run that was seen to have ended": (
        "G-single-realtime",
        made("signal", (110, 111), client="e", value="late"),
    ),
    "an acknowledged hold that is missing in the end": (
        "G-single-realtime",
        [
            *made("hold", (250, 251), run="hz.", value="z", key="red", client="e"),
            *made("page", (900, 901), client="f", run="", seen=rows(*ENDED)),
        ],
    ),
    "a run that is open in the end": (
        "open",
        made("page", (900, 901), run="", seen=rows(*ENDED, ("hz.", 1, 3, False))),
    ),
    "a child that is missing in the end": (
        "G-single",
        made("page", (900, 901), client="e", run="", seen=rows(ENDED[0], *ENDED[2:])),
    ),
    "a run that nobody read, and that is missing after its start": (
        "G-single-realtime",
        [
            *made("start", (10, 20), run="s3n0.", value="p"),
            *refused("query", (30, 31), "RunNotFoundError", run="s3n0.", client="e"),
        ],
    ),
    "a listener that heard of what others do not see": (
        "G-single-realtime",
        [
            *made("follow", (60, 75), client="f", seen={"entries": LIST[:3], "times": (61, 62, 63)}),
            *made("query", (64, 69), client="e", seen={"entries": LIST[:2]}),
        ],
    ),
    "two who hold a lock": (
        "answer",
        made("locks", (206, 207), run="", key="red", seen={"line": ((7, "hw.", True), (8, "hv.", True))}),
    ),
    "two who touch what a lock protects": ("G1c-realtime", held("hx.", 9, 239, 250)),
    "who begins to touch what a lock protects after another got it": (
        "G1c-realtime",
        [Point(what="enter", run="hw.", key="red", token=7, at=260)],
    ),
    "an empty line amid a hold": (
        "G1c-realtime",
        made("locks", (206, 207), client="e", run="", key="red", seen={"line": ()}),
    ),
    "a line in another order than the locks are given in": (
        "incompatible order",
        made("locks", (203, 204), run="", key="red", seen={"line": ((8, "hv.", True), (7, "hw.", False))}),
    ),
    "a lock that is waited for after it was given back": (
        "G-single-realtime",
        [
            *made("hold", (202, 211), run="hx.", value="x", key="red", client="e"),
            *held("hx.", 9, 242, 250),
            *made(
                "locks", (245, 246), client="f", run="", key="red", seen={"line": ((8, "hv.", True), (9, "hx.", False))}
            ),
        ],
    ),
    "a run that another call has started before": (
        "G1c-realtime",
        made("start", (3, 4), value="early", client="e"),
    ),
}


def test_a_sound_record_is_not_accused() -> None:
    seen = judge(sound())
    assert (seen.anomalies, seen.calls, seen.unknown) == ([], 19, 0)


def test_pages_that_show_in_the_end_what_was_asked_for_are_not_accused() -> None:
    first = made("page", (800, 801), run="", seen={"rows": ENDED[:2], "is_last": False})
    assert judge([*sound(), *first, *made("page", (802, 803), run="", seen=rows(*ENDED[2:]))]).anomalies == []


@pytest.mark.parametrize(("kind", "records"), FALSE.values(), ids=FALSE)
def test_a_false_record_is_accused(kind: str, records: list[Record]) -> None:
    assert kind in [anomaly.kind for anomaly in judge([*sound(), *records]).anomalies]


def test_an_update_that_failed_and_is_seen_is_accused() -> None:
    records = [record for record in sound() if not (isinstance(record, Call) and record.value == "b")]
    failed = refused("update", (60, 70), "UpdateFailedError", client="d", value="b", is_pair=True)
    assert "G1a (aborted read)" in [anomaly.kind for anomaly in judge([*records, *failed]).anomalies]


def test_a_run_that_does_not_end_is_accused() -> None:
    records = [
        record
        for record in sound()
        if not isinstance(record, Answer) or record.positions or not record.entries or END not in record.entries
    ]
    [stream] = [record for record in records if isinstance(record, Answer) and record.positions]
    records[records.index(stream)] = Answer(
        client="c", number=stream.number, at=79, happened=Happened.YES, entries=LIST[:4], positions=PLACES[:4]
    )
    assert "open" in [anomaly.kind for anomaly in judge(records).anomalies]


def test_a_call_without_an_answer_may_have_happened_or_not() -> None:
    unanswered = [Call(client="k", number=1, at=5, asked="signal", run=RUN, value="a", has_child=True)]
    records = [*unanswered, *(record for record in sound() if not _is_of_value(record, "a"))]
    seen = judge(records)
    assert (seen.anomalies, seen.unknown) == ([], 1)
    never = Call(client="k", number=2, at=5, asked="signal", run=RUN, value="never")
    assert judge([*sound(), never]).anomalies == []


def _is_of_value(record: Record, value: str) -> bool:
    return isinstance(record, Call) and record.value == value and record.asked == "signal"


def test_a_request_has_its_effect_after_the_calls_of_it_that_were_refused() -> None:
    how: dict[str, Any] = {"client": "e", "value": "a", "has_child": True, "request": True}
    records = [
        *(record for record in sound() if not _is_of_value(record, "a")),
        *refused("signal", (5, 6), "StoreLockedError", **how),
        *made("signal", (41, 44), happened=Happened.UNKNOWN, error="TimeoutError", **how),
        *made("signal", (47, 50), **how),
    ]
    assert judge(records).anomalies == []
    [request] = [each for each in translate(records).transactions if "signal a " in each.words]
    assert (request.invoked, request.completed) == (41, 50)


def test_records_are_read_up_to_a_line_that_was_cut_off(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "notes")
    records = sound()
    for record in records:
        notebook.note(record)
    notebook.close()
    with (tmp_path / "notes").open("ab") as file:
        file.write(b'{"type":"Call","cli')
    assert list(read_records([tmp_path / "notes"])) == records
