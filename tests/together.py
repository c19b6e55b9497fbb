"""Several processes of a fit, played by threads, or as forked children."""

import threading
from datetime import timedelta
from itertools import pairwise

import numpy as np
from torch.distributed import HashStore

from sklearn_sparsenet.distributed.group import Group
from sklearn_sparsenet.utils.processes import joined


def together(size, work, timeout=60.0):
    """Return what `work(rank)` returns in each of the processes, or its error."""
    store, found = HashStore(), [None] * size

    def run(rank):
        try:
            limit = timedelta(seconds=timeout)
            group = Group(store, "test", rank, size, limit)
            try:
                with joined(group):
                    found[rank] = work(rank)
            finally:
                group.leave()
        except (Exception, KeyboardInterrupt) as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def parts(n_rows, size):
    """Cut rows into parts of very different sizes, the second of a single row."""
    cuts = np.linspace(0, n_rows, size + 1).astype(int)
    if size > 2:
        cuts[2:-1] = cuts[1] + 1
    return [slice(*pair) for pair in pairwise(cuts)]
