"""Arguments that nobody meant: named errors, at once."""

from pathlib import Path

import pytest

from perdure.cli.database import require_database
from perdure.cli.exits import NoDatabaseError
from perdure.cli.json_values import read_json
from perdure.cli.times import parse_duration, parse_moment, read_moment
from perdure.errors import InvalidArgumentError
from perdure.kernel.time import Timestamp


@pytest.mark.parametrize("text", ["[" * 100_000, '"\udc80"', "\0", "9" * 5_000 + "x", "{" * 10])
def test_what_is_not_json_is_named_in_few_words(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"the value .* is not JSON") as refused:
        read_json(text, "the value")
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize("path", ["a" * 300, "a/" * 5_000, "a%00b", "%2e%2e/" * 3 + "\udc80"])
def test_a_url_of_what_cannot_be_a_file_names_no_database(path: str) -> None:
    with pytest.raises(NoDatabaseError, match="there is no database"):
        require_database(f"sqlite:///{path}")


def test_a_loop_of_links_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "loop.db").symlink_to("loop.db")
    with pytest.raises(NoDatabaseError, match="there is no database"):
        require_database(f"sqlite:///{tmp_path}/loop.db")


@pytest.mark.parametrize("text", ["9" * 100_000, "1s" * 100_000, "9" * 99 + "d", "1.5", "\udc80"])
def test_what_is_no_time_is_refused_at_once_and_in_few_words(text: str) -> None:
    for read in (
        parse_duration,
        lambda text: parse_moment(text, now=Timestamp(0)),
        lambda text: read_moment(text, "x"),
    ):
        with pytest.raises(InvalidArgumentError) as refused:
            read(text)
        assert len(str(refused.value)) < 300
