"""Torture: tools that try to break Perdure's promises, and say how to do it again when they succeed.

| name | what |
|---|---|
| `sim` | deterministic simulation of the engine: crashes, pauses, outages and restarts at every point |
| `mutants` | the control of most others: each planted bug must be found by the tool that it is for |
| `kill` | real processes on a real database file, killed at random moments |
| `powerloss` | all that a loss of power may leave on the disk, at each moment of a store's life |
| `fsyncgate` | the same, after a sync that failed |
| `ioerr` | a disk that fails, is full or read-only, at any operation |
| `copies` | copies of a database that is used meanwhile, by makers that die or lose power |
| `corrupt` | bits, sectors, pages and rows of real databases, changed |
| `stateful` | random programs on both stores, which must not differ |
| `fuzz` | bytes that nobody meant, to every decoder |
| `load` | a file with very many runs: starts, memory, pages |
| `skew` | the simulation, while the machine's clock is set forward and back |
| `unknown` | each commit of a journey raises in turn, saved or not, and clients ask again |
| `replay` | changes of code under saved histories: each that matters is detected |
| `check` | histories of concurrent clients in several processes, which are killed |

``python -m perdure.torture NAME [--count N] [--seed S] [--ci] [--long] [--json]`` prints one line per result and ends
with a status other than 0 if a promise was broken or a control did not fail.
"""
