"""Torture: tools that try to break Perdure's promises, and say how to do it again when they succeed.

| name | what |
|---|---|
| `sim` | deterministic simulation of the engine: crashes, pauses, outages and restarts at every point |
| `mutants` | the control of `sim`: each planted bug of the engine must be found |
| `kill` | real processes on a real database file, killed at random moments |

``python -m perdure.torture NAME [--count N] [--seed S] [--ci] [--long] [--json]`` prints one line per result and ends
with a status other than 0 if a promise was broken or a control did not fail.
"""
