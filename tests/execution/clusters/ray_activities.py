"""An activity that is declared for Ray; a process without Ray that imports it opens no engine."""

import os

from perdure import activity


@activity(executor="ray")
def tell_ray_process() -> int:
    return os.getpid()
