"""What tells parameters apart: equal ones in every process, others in none."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet import MCP
from sklearn_sparsenet.estimators._identity import identify


class Plain:
    def __init__(self, value):
        self.value = value

    def method(self, x):
        return x * self.value


def close_over(value):
    return lambda x: x + value


PAIRS = {
    "numbers": (1, 1.0),
    "code": (lambda x: x + 1, lambda x: x + 2),
    "names": (lambda x: x.sin(), lambda x: x.cos()),
    "closures": (close_over(1), close_over(2)),
    "functions in functions": (close_over(close_over(1)), close_over(close_over(2))),
    "partials": (functools.partial(max, 1), functools.partial(max, 2)),
    "methods": (Plain(1).method, Plain(2).method),
    "objects": (Plain(1), Plain(2)),
    "dataclasses": (MCP(gamma=2), MCP(gamma=3)),
    "arrays": (np.zeros(5000), np.r_[np.zeros(4000), 1, np.zeros(999)]),
    "tensors": (torch.zeros(3), torch.ones(3)),
    "modules": (nn.ReLU(), nn.Sigmoid()),
    "weights": (
        nn.CrossEntropyLoss(weight=torch.ones(2)),
        nn.CrossEntropyLoss(weight=torch.zeros(2)),
    ),
    "sets": ({"a", "b"}, {"a", "c"}),
    "containers": ({"a": [1, (2, Plain(1))]}, {"a": [1, (2, Plain(2))]}),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_what_differs_is_told_apart(kind):
    one, other = PAIRS[kind]
    assert identify(one) != identify(other)
    assert identify(one) == identify(one)


def test_what_is_made_again_is_the_same():
    assert identify(close_over(1)) == identify(close_over(1))
    assert identify(Plain([1, {2}])) == identify(Plain([1, {2}]))


def test_circles_end():
    circle = Plain(1)
    circle.value = circle
    assert "Plain" in identify(circle)


SCRIPT = """
from sklearn_sparsenet.estimators._identity import identify
def loss(a, b, names=frozenset(["x", "y", "zeta"])):
    return a if b in {"one", "two", "three"} else (lambda c: c)(a)
print(identify(loss))
"""


@pytest.mark.slow
def test_another_process_says_the_same():
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "12"
    }  # fmt: skip
    assert len(said) == 1
