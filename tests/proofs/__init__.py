"""Proofs of the tests: each law, option and operation is broken once, and the tests that its row names must fail.

``python -m tests.proofs`` breaks all of them, one after the other, each in processes of its own; with subjects as
arguments (``activity.retry``) only those. It ends with status 1 if a named test passes all the same. The rows stand in
`docs/design/promises.md` (the laws) and `docs/reference/tested.md`, the breakages in `tests/proofs/planted.py`.
"""
