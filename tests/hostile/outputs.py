"""Every output of Perdure that shows texts of others, and how it is fed. A new one has to join: a test says so."""

COMMANDS = {
    "list": "test_outputs.py: all texts as ids, workflows, tenants and labels",
    "show": "test_outputs.py: all texts as ids, and in stages, states, signals, activities, errors and locks",
    "history": "test_outputs.py: as show; and its --export is read back",
    "locks": "test_outputs.py: all texts as keys",
    "tasks": "test_outputs.py: all texts as queues",
    "workers": "test_outputs.py: all texts as names, queues and labels",
    "waiting": "test_outputs.py: all texts as keys",
    "schedules": "test_outputs.py: all texts as ids and notes",
    "doctor": "test_outputs.py: on the database that holds all of them",
    "bulk": "test_outputs.py: on the runs with all ids; test_commands.py: what it refuses of one",
    "signal": "test_outputs.py: all texts as what it refuses",
    "update": "test_outputs.py: as signal; test_commands.py: one that is accepted",
    "query": "test_outputs.py: as signal",
    "start": "test_outputs.py: as signal; test_commands.py: one that is made",
    "complete": "test_outputs.py: as signal",
    "fail": "test_outputs.py: as signal",
    "stream": "test_outputs.py: as signal",
    "cancel": "test_outputs.py: all texts as ids, with what it advises",
    "terminate": "as cancel: the same function prints it",
    "suspend": "as cancel: the same function prints it",
    "resume": "as cancel: the same function prints it",
    "retry": "as fork: the same function prints it",
    "reset": "as fork: the same function prints it",
    "fork": "test_commands.py: a run of a hostile id",
    "replay": "test_outputs.py: all texts in the annotations that it prints",
    "lint": "test_outputs.py: all texts in the annotations that it prints",
    "verify": "test_outputs.py: on the database that holds all of them",
    "row-security": "test_outputs.py: all texts as names of roles and namespaces; with --sql what its caller has named",
    "backup": "test_outputs.py: as signal; test_commands.py: one that is made",
    "restore": "test_outputs.py: as signal",
    "replicate": "it names paths only, as backup does",
    "export": "test_outputs.py: the database that holds all of them",
    "import": "test_outputs.py: what was exported of it; test_commands.py: what it refuses, and what is damaged",
    "prune": "test_commands.py: into a folder of a hostile name",
    "compact": "it names numbers only",
    "worker": "it shows names of modules and workflows of its own process; errors pass `complain`, as all do",
    "dev": "it shows the path of its folder, and what `worker` shows",
    "demo": "it shows no texts but its own",
}
"""Command of the command line -> where it is fed, or why not."""

MARKUP = {
    "src/perdure/kernel/lifecycle.py": "a diagram of the library's own states, which nobody names",
}
"""File that makes HTML, SVG, DOT, Mermaid or CSV -> how it is fed, or why not."""
