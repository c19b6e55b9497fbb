"""Modules import from lower layers only; the core knows no scikit-learn."""

import ast
from pathlib import Path

import pytest

import sklearn_sparsenet

ROOT = Path(sklearn_sparsenet.__file__).parent
LAYERS = [
    {
        "_version",
        "arguments",
        "atomic_files",
        "exceptions",
        "progress",
        "protocols",
        "runtime",
        "data",
        "sparse_inputs",
        "penalties",
        "plain_penalties",
        "losses",
        "module_copies",
        "by_content",
        "networks",
        "activation_rules",
        "packing",
        "declared",
        "documents",
        "streams",
        "strict_json",
        "tensor_files",
        "sparsity",
        "owned_directories",
        "state_files",
    },
    {"chains", "compaction", "probing"},
    {"backprop", "inference", "recipes", "shapes", "stand_ins", "export"},
    {"live_paths", "targets", "problem"},
    {"optimality", "live", "flow"},
    {"solvers"},
    {"search", "checkpoints"},
    {"training"},
    {"path"},
    {"estimators"},
    {"plots"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "sklearn":
            assert own in {"estimators", "plots"}, f"{own} imports {name}"
        if first == "matplotlib":
            assert own == "plots", f"{own} imports {name}"
        if first == "sklearn_sparsenet" and rest:
            other = rest.split(".")[0]
            assert (
                other == own
                or LEVEL[other] < LEVEL[own]
                or (LEVEL[own] == 0 and LEVEL[other] == 0)
            ), f"{own} imports {other}"


def test_private_imports_of_scikit_learn_are_fenced():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "sklearn."
            ):
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
                if any(name.startswith("_") for name in names):
                    assert path.name == "_validation.py", path


def test_public_names_exist():
    assert all(hasattr(sklearn_sparsenet, name) for name in sklearn_sparsenet.__all__)
