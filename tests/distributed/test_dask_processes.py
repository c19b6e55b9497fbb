"""One fit by the processes of a Dask cluster, and what if one of them ends."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_sparsenet.distributed import fit_on_dask
from sklearn_sparsenet.utils.exceptions import ProcessLostError
from tests.distributed.clusters import (
    assert_same_fit,
    connected,
    ends_its_process,
    make_data,
    make_frame,
    place_array,
    place_frame,
)
from tests.estimators.small_fits import make

pytestmark = pytest.mark.slow
PROCESSES = True
X, y, weight = make_data()
FRAME = make_frame(X, y, weight)
ROWS = np.split(np.arange(300), [50, 90, 200])


def test_a_frame(client):
    frame = place_frame(client, FRAME, ROWS, [0, 1, 0, 1])
    inputs = frame[frame.columns[:4]]
    fitted = fit_on_dask(client, make(), inputs, frame["y"], frame["weight"])
    local = FRAME.iloc[np.concatenate([ROWS[k] for k in (0, 2, 1, 3)])]
    assert_same_fit(fitted, make().fit(local.iloc[:, :4], local["y"], local["weight"]))
    again = pickle.loads(pickle.dumps(fitted))
    predicted = inputs.map_partitions(fitted.predict).compute()
    assert_allclose(predicted, again.predict(FRAME.iloc[:, :4]), 1e-12)


@pytest.mark.parametrize("on", [[0, 1, 0, 1], [1, 1, 1, 1]], ids=["both", "one"])
def test_a_worker_that_is_lost_is_named(on):
    with connected() as client:
        known = client.scheduler_info(n_workers=-1)["workers"]
        [address] = [where for where, facts in known.items() if facts["name"] == 1]
        number = sorted(known).index(address)
        on = [number if which else 1 - number for which in on]
        given = [place_array(client, values, ROWS, on) for values in (X, y)]
        with pytest.raises(ProcessLostError, match=rf"worker {address} was lost"):
            fit_on_dask(client, make(loss=ends_its_process), *given, timeout=60)
