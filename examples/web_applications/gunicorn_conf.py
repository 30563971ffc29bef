"""How gunicorn serves Flask and Django here: two processes of four threads each, forked from one that has the code."""

from examples.web_applications.process_engine import engine

workers = 2
threads = 4
preload_app = True


def post_worker_init(_worker: object) -> None:
    """Open the engine in each process after the fork, so that runs go on before the first request comes."""
    engine()
