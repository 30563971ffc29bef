"""The desk at which a person decides: how a review comes in, who may give it, and what can be asked meanwhile."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from examples.loan_processing.application import LoanApplication
from examples.loan_processing.risk import Assessment
from perdure import Context, Query, Update

__all__ = [
    "Approve",
    "AskForMore",
    "LoanStatus",
    "Reject",
    "Review",
    "ReviewDesk",
    "documents",
    "loan_status",
    "review",
]


class Approve(msgspec.Struct, frozen=True, kw_only=True, tag="approve"):
    """The loan is granted all the same."""

    reviewer: str


class Reject(msgspec.Struct, frozen=True, kw_only=True, tag="reject"):
    """The loan is refused; the applicant is told the `reason`."""

    reviewer: str
    reason: str


class AskForMore(msgspec.Struct, frozen=True, kw_only=True, tag="ask_for_more"):
    """Something is not clear yet; the applicant is asked the `question`."""

    reviewer: str
    question: str


Review = Approve | Reject | AskForMore
"""What a reviewer says, told apart by the field ``type``."""


class LoanStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where an application stands. `waits_for`: "review" or "documents"; None while it goes on by itself."""

    application_id: str
    waits_for: str | None
    assessment: Assessment | None
    documents: tuple[str, ...]


review: Update[Review, None] = Update("review", Review, None)
"""A reviewer decides. It is rejected where nobody is asked for a review, and where the reviewer may not give it."""

documents: Update[str, None] = Update("documents", str, None)
"""The applicant answers what the reviewer asked: the documents' name in the archive. Rejected where nobody asked.

An update and no signal: when it has been answered, whoever asks for `loan_status` sees its effect."""


@Query
def loan_status() -> LoanStatus:
    """Say where the application stands."""
    raise NotImplementedError  # only name and types count


@dataclass(kw_only=True)
class ReviewDesk:
    """What workflow code keeps while an application is on its way, and what is answered from it."""

    application: LoanApplication
    assessment: Assessment | None = None
    waits_for: str | None = None
    documents: list[str] = field(default_factory=list)
    _reviews: asyncio.Queue[Review] = field(default_factory=asyncio.Queue)
    _documents: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def open(self, ctx: Context) -> None:
        """Answer `loan_status`, `review` and `documents` from here on."""
        ctx.query(loan_status)(self._status)
        ctx.on_update(review, self._take_review, validator=self._refuse_review)
        ctx.on_update(documents, self._take_documents, validator=self._refuse_documents)

    @contextmanager
    def asking_for(self, what: str) -> Iterator[None]:
        """Take a review, or documents, from here to the end of the block: the first that comes, and no other."""
        self.waits_for = what
        try:
            yield
        finally:
            self.waits_for = None

    async def next_review(self) -> Review:
        """Wait for a review."""
        return await self._reviews.get()

    async def next_documents(self) -> str:
        """Wait for documents, which are kept, and return their name."""
        self.documents.append(await self._documents.get())
        return self.documents[-1]

    def _status(self) -> LoanStatus:
        return LoanStatus(
            application_id=self.application.id,
            waits_for=self.waits_for,
            assessment=self.assessment,
            documents=tuple(self.documents),
        )

    def _refuse_review(self, given: Review) -> None:
        """Raise ValueError, in words for the reviewer, for a review that does not count."""
        if self.waits_for != "review":
            raise ValueError(f"{self.application.id} does not wait for a review")
        if not given.reviewer or given.reviewer == self.application.applicant.name:
            raise ValueError(f"{given.reviewer or 'nobody'} may not decide about {self.application.id}")
        match given:
            case Reject(reason="") | AskForMore(question=""):
                raise ValueError("the applicant has to be told why, or what for")
            case _:
                pass

    async def _take_review(self, given: Review) -> None:
        self.waits_for = None  # the next one is refused until somebody is asked again
        self._reviews.put_nowait(given)

    def _refuse_documents(self, _name: str) -> None:
        if self.waits_for != "documents":
            raise ValueError(f"{self.application.id} does not wait for documents")

    async def _take_documents(self, name: str) -> None:
        self.waits_for = None
        self._documents.put_nowait(name)
