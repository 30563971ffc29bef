"""Order processing: verify -> pay -> update inventory -> ship -> notify, with a refund when a later step fails.

* `order`: what is ordered, and the rules that an order must keep.
* `services`: the outside world, simulated in a small SQLite file, so that every effect can be counted.
* `activities`: one function per call to the outside world.
* `workflow`: what happens to an order, in the order in which it happens.
* `__main__`: the program. Kill it when you like and start it again with the same arguments: it goes on where it stood.

    uv run python -m examples.order_processing examples/data/orders.json
"""
