"""What sessions announce, as it is read by libraries of another time."""

from perdure.kernel.options import Executor
from perdure.ports.tasks import Serving, decode_serving, encode_serving


def test_what_was_announced_is_read() -> None:
    serving = Serving(queues=("gpu",), labels={"zone": "eu"}, room={Executor.LOOP: 3}, code="c", seen_as="shop")
    assert decode_serving(encode_serving(serving)) == serving


def test_what_a_newer_library_announces_is_read_with_kinds_of_executors_and_fields_that_are_not_known() -> None:
    announced = '{"queues":["gpu"],"labels":{"zone":"eu"},"room":{"quantum":1,"loop":3},"code":"c","later":[]}'
    serving = Serving(queues=("gpu",), labels={"zone": "eu"}, room={"quantum": 1, Executor.LOOP: 3}, code="c")
    assert decode_serving(announced) == serving


def test_what_is_no_announcement_is_none() -> None:
    assert [decode_serving(text) for text in ("", "[]", '{"room":{"loop":"many"}}')] == [None, None, None]
