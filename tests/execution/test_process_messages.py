"""Messages between an executor and its worker processes survive every way in which a stream may be cut."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from perdure.execution.process_messages import Beat, Frames, Leave, Ready, Returned, decode_order, decode_report, frame
from perdure.kernel.payload import Payload


@given(texts=st.lists(st.text()), cuts=st.lists(st.integers(min_value=0, max_value=500)))
def test_a_stream_cut_anywhere_gives_the_same_messages(texts: list[str], cuts: list[int]) -> None:
    sent = [Beat(number=number, details=Payload(repr(len(text)).encode())) for number, text in enumerate(texts)]
    stream = b"".join(frame(message) for message in sent)
    frames = Frames()
    bodies: list[bytes] = []
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for begin, end in itertools.pairwise(places):
        bodies += frames.feed(stream[begin:end])
    received = [decode_report(body) for body in bodies]
    assert [(beat.number, bytes(beat.details)) for beat in received if isinstance(beat, Beat)] == [
        (beat.number, bytes(beat.details)) for beat in sent
    ]


def test_an_unfinished_frame_waits_for_its_end() -> None:
    frames = Frames()
    whole = frame(Ready())
    assert frames.feed(whole[:-1]) == []
    assert [decode_report(body) for body in frames.feed(whole[-1:])] == [Ready()]


def test_values_travel_as_they_are_recorded() -> None:
    (body,) = Frames().feed(frame(Returned(number=1, result=Payload(b'{"a": [1, 2]}'), cpu_seconds=0.5)))
    returned = decode_report(body)
    assert isinstance(returned, Returned)
    assert bytes(returned.result) == b'{"a": [1, 2]}'


def test_a_message_without_content_is_told_by_its_name() -> None:
    (body,) = Frames().feed(frame(Leave()))
    assert decode_order(body) == Leave()
