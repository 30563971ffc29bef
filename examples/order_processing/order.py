"""An order as it arrives, the rules that it must keep, and the receipt that a fulfilled order ends with.

All are plain records: the engine checks them at the boundary and keeps them as readable JSON in the history.
"""

import re
from decimal import Decimal
from typing import Final

import msgspec

__all__ = [
    "Address",
    "BankTransfer",
    "Card",
    "Item",
    "Order",
    "PaymentMethod",
    "Receipt",
    "Trouble",
    "Wallet",
    "problems_of",
]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order. `unit_price` is in the order's currency."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the goods go. `country` is the two-letter code of ISO 3166."""

    recipient: str
    street: str
    city: str
    postal_code: str
    country: str


class Card(msgspec.Struct, frozen=True, kw_only=True, tag="card"):
    """Pay by card. `token` stands for the card at the payment service: a history never holds a card number."""

    token: str


class BankTransfer(msgspec.Struct, frozen=True, kw_only=True, tag="bank_transfer"):
    """Pay by direct debit from an account."""

    iban: str


class Wallet(msgspec.Struct, frozen=True, kw_only=True, tag="wallet"):
    """Pay from a wallet at a provider."""

    provider: str
    account: str


PaymentMethod = Card | BankTransfer | Wallet
"""The ways to pay, told apart by the field ``type``."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong between us and one outside service for this order, so that every run of the example is alike.

    The first `requests_lost` attempts never reach the `service`; the next `replies_lost` attempts do, and take effect
    there, but the reply is lost on the way back.
    """

    service: str
    requests_lost: int = 0
    replies_lost: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer wants, where it goes, and how it is paid."""

    id: str
    email: str
    currency: str
    items: tuple[Item, ...]
    total: Decimal
    address: Address
    payment: PaymentMethod
    troubles: tuple[Trouble, ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that a fulfilled order leaves behind. `message_id` is None where the customer could not be told."""

    order_id: str
    payment_id: str
    reservation_id: str
    shipment_id: str
    message_id: str | None


def problems_of(order: Order) -> list[str]:
    """Return everything that is wrong with an order, in words for the customer; nothing for a good one."""
    problems = [*_problems_of_items(order), *_problems_of_address(order.address)]
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", order.email):
        problems.append(f"{order.email!r} is no e-mail address")
    if isinstance(order.payment, BankTransfer) and not _is_iban(order.payment.iban):
        problems.append(f"the account {order.payment.iban} is mistyped: its check digits do not fit")
    return problems


_POSTAL_CODES: Final = {
    "AE": r"",
    "AU": r"\d{4}",
    "BR": r"\d{5}-\d{3}",
    "CA": r"[A-Z]\d[A-Z] \d[A-Z]\d",
    "CH": r"\d{4}",
    "DE": r"\d{5}",
    "ES": r"\d{5}",
    "FR": r"\d{5}",
    "GB": r"[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}",
    "IN": r"\d{6}",
    "JP": r"\d{3}-\d{4}",
    "KR": r"\d{5}",
    "MX": r"\d{5}",
    "NG": r"\d{6}",
    "NL": r"\d{4} [A-Z]{2}",
    "NO": r"\d{4}",
    "PL": r"\d{2}-\d{3}",
    "SE": r"\d{3} \d{2}",
    "US": r"\d{5}(-\d{4})?",
    "ZA": r"\d{4}",
}
"""The countries we deliver to, and the form of their postal codes."""


def _problems_of_items(order: Order) -> list[str]:
    if not order.items:
        return ["the order has no items"]
    problems = [f"{item.quantity} of {item.name} cannot be ordered" for item in order.items if item.quantity < 1]
    due = sum((item.quantity * item.unit_price for item in order.items), Decimal(0))
    if due != order.total:
        problems.append(f"the items come to {due} {order.currency}, not {order.total} {order.currency}")
    return problems


def _problems_of_address(address: Address) -> list[str]:
    form = _POSTAL_CODES.get(address.country)
    if form is None:
        return [f"we do not deliver to {address.country}"]
    if not re.fullmatch(form, address.postal_code):
        return [f"{address.postal_code!r} is no postal code of {address.country}"]
    return []


def _is_iban(iban: str) -> bool:
    """Whether the check digits fit (ISO 13616: letters as 10 to 35, rotated by four, modulo 97)."""
    compact = iban.replace(" ", "")
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", compact):
        return False
    rotated = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in rotated)) % 97 == 1
