"""A subscription: created, activated, renewed every thirty days; paid late, cancelled, or ended because nobody pays.

* `account`: what is subscribed to, what the customer may ask for, and the account that passes from year to year.
* `bank`: the outside world, simulated: which payments are refused.
* `activities`: one function per call to the outside world.
* `workflow`: a subscription's life, a year of it in each generation of its run.
* `customers`: customers that act by themselves, as workflows, so that there is something to watch.
* `__main__`: the program: five years in ten seconds.

    uv run python -m examples.subscription
"""
