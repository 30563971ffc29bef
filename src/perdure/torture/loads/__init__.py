"""``load``: one database file with very many runs; what it costs to open, to hold, to look through.

The runs are real: their histories were recorded by an engine (`patterns`), and any worker can go on with each of them.
They come into the file through the store's port (`filling`), so that a million take minutes. Then a worker opens the
file in a process of its own (`subject`), several times, and what it needs is measured; then pages of runs are asked for
by every filter, their combinations, in both orders, first and deep ones (`searches`). The tool compares that with the
goals (`tool`), and says in which mood the machine was (`mood`): of times on a busy machine the best of several counts.
"""
