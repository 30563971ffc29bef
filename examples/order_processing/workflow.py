"""What happens to an order, read from top to bottom. Every `await` may outlive the process that started it."""

from examples.order_processing.activities import (
    charge_customer,
    check_order,
    hand_to_carrier,
    reserve_goods,
    write_to_customer,
)
from examples.order_processing.order import Order, Receipt
from perdure import ActivityError, ActivityFailedError, Context, workflow

__all__ = ["process_order"]


@workflow(stages=("verify", "pay", "inventory", "ship", "notify"))
async def process_order(ctx: Context, order: Order) -> Receipt:
    """Fulfil an order, or leave nothing of it behind: goods back on the shelf, money back with the customer."""
    try:
        async with ctx.stage("verify"):
            await check_order(order)
        async with ctx.stage("pay"):
            payment = await charge_customer(order)
        async with ctx.stage("inventory"):
            reservation = await reserve_goods(order)
        async with ctx.stage("ship"):
            shipment_id = await hand_to_carrier(order)
    except ActivityError as error:
        await ctx.compensate()  # what was done so far is undone, newest first
        await tell_customer(ctx, order, f"We cannot deliver your order {order.id}: {reason_of(error)}.")
        raise
    async with ctx.stage("notify"):
        message_id = await tell_customer(ctx, order, f"Your order {order.id} is on its way: {shipment_id}.")
    return Receipt(
        order_id=order.id,
        payment_id=payment.id,
        reservation_id=reservation.id,
        shipment_id=shipment_id,
        message_id=message_id,
    )


async def tell_customer(ctx: Context, order: Order, text: str) -> str | None:
    """Write to the customer. An order is not undone because a message could not be sent: then return None."""
    try:
        return await write_to_customer(order, text)
    except ActivityError as error:
        ctx.logger.warning("no message to %s: %s", order.email, error)
        return None


def reason_of(error: ActivityError) -> str:
    """Return in the service's words why an activity failed."""
    return error.failure_message if isinstance(error, ActivityFailedError) else str(error)
