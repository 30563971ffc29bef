"""Loan processing: validate -> four checks side by side -> risk -> (review) -> approval or rejection -> notify.

* `application`: what an applicant asks for, and the rules that an application must keep.
* `risk`: what the checks found, and what follows from it: low, medium or high risk. Plain functions of values.
* `bureaus`: the outside world, simulated: registers to be asked, and a ledger of what was done.
* `activities`: one function per call to the outside world.
* `review`: the desk at which a person decides: an update that is validated, a query, a signal.
* `decisions`: the approval and the rejection, workflows of their own.
* `workflow`: what happens to an application, in the order in which it happens.
* `__main__`: the program. Applications that wait for a person go on waiting when it has ended.

    uv run python -m examples.loan_processing
"""
