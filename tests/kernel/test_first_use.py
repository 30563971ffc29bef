"""What is made when it is first looked at: once for each instance, and nothing before."""

from perdure.kernel import events as e
from perdure.kernel.first_use import first_use
from perdure.kernel.identity import RunRef
from perdure.kernel.journal import Journal
from perdure.kernel.payload import NULL


class Shelf:
    books = first_use[list[str]](list)


def test_it_is_made_once_for_each_instance() -> None:
    mine, yours = Shelf(), Shelf()
    mine.books.append("Moby Dick")
    assert mine.books == ["Moby Dick"]
    assert yours.books == []


def test_nothing_is_made_before_somebody_looks() -> None:
    shelf = Shelf()
    assert vars(shelf) == {}
    assert shelf.books is vars(shelf)["books"]


def test_a_journal_has_made_nothing_that_its_code_has_not_used() -> None:
    journal = Journal(
        e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1), on_error=lambda _message, _error: None
    )
    on_first_use = {name for name, value in vars(Journal).items() if isinstance(value, first_use)}
    assert on_first_use
    assert not on_first_use & vars(journal).keys()
