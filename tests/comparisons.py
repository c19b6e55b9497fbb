"""Copies of fitted networks, and what tells networks apart."""

import io
import pickle

import torch
from numpy.testing import assert_array_equal

from sklearn_sparsenet import load


def pickled(net):
    """Return what comes back from a pickle."""
    return pickle.loads(pickle.dumps(net))


def saved(net, **options):
    """Return the bytes of the file of a network."""
    net.save(file := io.BytesIO(), **options)
    return file.getvalue()


def reloaded(net, saving=None, **options):
    """Return what comes back from a file."""
    return load(io.BytesIO(saved(net, **saving or {})), **options)


def assert_same_arrays(ours, theirs):
    """Assert that as many arrays are the same, number by number."""
    for one, other in zip(ours, theirs, strict=True):
        assert_array_equal(one, other)


def same_network(ours, theirs):
    """Tell whether parameters and buffers have the same names and the same bits."""
    ours, theirs = ours.module_.state_dict(), theirs.module_.state_dict()
    same_names = ours.keys() == theirs.keys()
    return same_names and all(torch.equal(ours[name], theirs[name]) for name in ours)


def assert_same_network(ours, theirs):
    assert same_network(ours, theirs)
