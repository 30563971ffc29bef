"""The activities: one call to the outside world each. They are recorded, retried and undone by the engine.

An activity may be run again after its effect has happened, when the worker died or the answer was lost. Each one
therefore hands its idempotency key to the service (see `Services`), which is the same for all attempts of one call.
"""

from datetime import timedelta

import msgspec

from examples.order_processing.order import Order, problems_of
from examples.order_processing.services import services_from_environment
from perdure import NonRetryableError, Retry, activity, exponential

__all__ = [
    "InvalidOrderError",
    "Payment",
    "Reservation",
    "charge_customer",
    "check_order",
    "hand_to_carrier",
    "put_goods_back",
    "refund_payment",
    "reserve_goods",
    "write_to_customer",
]


class InvalidOrderError(NonRetryableError):
    """The order breaks the rules. It would break them again: there is no second attempt."""


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """Money that was taken."""

    id: str
    order_id: str


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Goods that were taken from the shelf."""

    id: str
    order_id: str


PATIENT = Retry(attempts=5, backoff=exponential(timedelta(milliseconds=300), factor=2))
"""For services that come back: waits of 0.3, 0.6, 1.2 and 2.4 seconds."""

A_MINUTE = timedelta(minutes=1)


@activity
async def check_order(order: Order) -> None:
    """Refuse an order that breaks the rules. Raises InvalidOrderError naming all that is wrong."""
    if problems := problems_of(order):
        raise InvalidOrderError("; ".join(problems))


@activity(retry=PATIENT, timeout=A_MINUTE)
async def refund_payment(payment: Payment) -> str:
    """Give the customer the money back."""
    return await services_from_environment().refund(payment.order_id, payment.id)


@activity(retry=PATIENT, timeout=A_MINUTE, compensate=refund_payment)
async def charge_customer(order: Order) -> Payment:
    """Take the money. Undone by `refund_payment`."""
    return Payment(id=await services_from_environment().charge(order), order_id=order.id)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def put_goods_back(reservation: Reservation) -> str:
    """Put the goods back on the shelf."""
    return await services_from_environment().put_back(reservation.order_id, reservation.id)


@activity(retry=PATIENT, timeout=A_MINUTE, compensate=put_goods_back)
async def reserve_goods(order: Order) -> Reservation:
    """Take the goods from the shelf, all of them or none. Undone by `put_goods_back`."""
    return Reservation(id=await services_from_environment().reserve(order), order_id=order.id)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def hand_to_carrier(order: Order) -> str:
    """Hand the parcel over; return the shipment's id."""
    return await services_from_environment().ship(order)


@activity(retry=Retry(attempts=2, backoff=exponential(timedelta(milliseconds=300))), timeout=A_MINUTE)
async def write_to_customer(order: Order, text: str) -> str:
    """Send a message; return its id."""
    return await services_from_environment().write_to(order, text)
