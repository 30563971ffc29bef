"""A data pipeline over real files: every column of every CSV file of a folder is profiled, and the profiles are joined.

* `profile`: what is counted of a file, and how counts are joined. Plain functions of values.
* `files`: which files there are, and reading them from any place on.
* `activities`: list, profile one file (in a process of its own, with checkpoints inside the file), write the report.
* `workflow`: fan-out with a bound, fan-in.
* `display`: a progress bar with rate and remaining time, on a terminal.
* `trips`: makes a folder of files to profile.
* `__main__`: the program. Kill it when you like and start it again: it goes on inside the files where it stood.

    uv run python -m examples.data_pipeline
"""
