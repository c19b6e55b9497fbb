"""Threads of ours that are still there: those of other tests are none of our affair."""

import threading
import time

OURS = ("read_ahead", "shares_work")


def ours():
    """The threads that this package began and that live now."""
    return [t for t in threading.enumerate() if t.name.startswith(OURS)]


def ours_at_the_end(within=30.0):
    """The same, after as long as a thread may take that was told to end.

    An interruption can come while a thread is being started, before anybody could wait
    for it: it ends by itself, a moment later.
    """
    end = time.monotonic() + within
    while ours() and time.monotonic() < end:
        time.sleep(0.01)
    return ours()
