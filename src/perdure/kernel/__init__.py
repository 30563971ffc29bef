"""The kernel: what is true about a run, and nothing else.

**Promise.** Everything here is a pure function of values: the same history and the same inputs give the same state,
the same commands and the same transition, on any machine, at any time. There is no clock, no randomness, no I/O and
no logging; times and random numbers arrive as arguments.

**Shape.** A run is a list of *events* (`events`), folded into a `RunState` (`state`) under the rules of the lifecycle
tables (`lifecycle`). Something that implements `Program` (`program`) answers each event that concerns it with
*commands* (`commands`); `expansion` turns a command into events; `advance` puts the pieces together and yields what
has to be committed as one value (`transition`). Workflow code written as a coroutine is a `Program` by virtue of the
deterministic event loop (`loop`, `journal`, `coroutine_program`). `replay` runs a program against a recorded history
and demands that it asks for exactly what was recorded.

**Rejected.** Comparing commands with events on replay by a second set of rules: the same `expand` serves live
execution and replay, so the two cannot drift apart.
"""
