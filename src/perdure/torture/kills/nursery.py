"""The nursery of `kill`, as a program."""

from perdure.torture.kills.process import Order, live
from perdure.torture.processes.nursery import serve

if __name__ == "__main__":
    serve(Order, live)
