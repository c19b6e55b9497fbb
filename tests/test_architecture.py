"""Rooms use lower rooms only, no import goes in a circle, the core knows no sklearn."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

import sklearn_sparsenet

ROOT = Path(sklearn_sparsenet.__file__).parent
NAME = "sklearn_sparsenet"
FLOORS = [
    {"utils", "_version"},
    {"losses", "penalties"},
    {"networks"},
    {"optimality", "deploy"},
    {"solvers"},
    {"search"},
    {"estimators"},
    {"plots", "distributed"},
    {"__init__"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# Who else may be imported where.
GUESTS = {
    "dask": {"distributed"},
    "distributed": {"distributed"},
    "sklearn": {"estimators", "plots"},
    "matplotlib": {"plots"},
    "onnx": {"deploy"},
    "skl2onnx": {"deploy"},
    "pyarrow": {"solvers"},
}


def module_name(path):
    parts = [NAME, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(path):
    """Yield what a file imports, wherever in it: in functions, for types alone, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room(name):
    return name.split(".")[1] if "." in name else "__init__"


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name):
    own = room(name)
    for other in imports(MODULES[name]):
        first = other.split(".")[0]
        if first == NAME:
            is_own = room(other) == own
            assert is_own or FLOOR[room(other)] < FLOOR[own], f"{name}: {other}"
        assert own in GUESTS.get(first, {own}), f"{name}: {other}"


def test_no_imports_go_in_a_circle():
    graph = {
        name: {other for other in imports(path) if other in MODULES}
        for name, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_a_circle_would_be_seen():
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_there_are_ten_rooms_and_distributed():
    """And each has a floor."""
    entries = {path.stem for path in ROOT.iterdir() if not path.name.startswith("__")}
    assert entries - {"py", "_version"} == FLOOR.keys() - {"__init__", "_version"}
    assert len(entries - {"py", "_version", "distributed"}) <= 10


def test_private_imports_of_scikit_learn_are_fenced():
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "sklearn."
            ):
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
                if any(name.startswith("_") for name in names):
                    assert path.name == "_validation.py", path


# Underscored names that are others': of scikit-learn's protocols, and of PyTorch.
OF_OTHERS = {
    "_parameter_constraints", "_validate_params", "_init_callback_context",
    "_callbacks", "_kwargs", "_forward_hooks", "_forward_pre_hooks", "_parameters",
    "_version", "_getframe", "_modules", "_backward_hooks", "_backward_pre_hooks",
    "_post_accumulate_grad_hooks", "_NormBase", "_DropoutNd", "_BatchNorm", "_C",
    "_replace", "_training_dim", "_Options", "_devices", "_set_default_timeout",
}  # fmt: skip
# What may be copied, or looked into, whole: PyTorch's names of types, a user's module,
# a part of it or a class, and a scorer, which is told of the classes there are.
LOOKED_INTO = {
    "vars(torch)", "vars(part)", "vars(each)", "vars(base)", "copy.copy(scorer)",
}  # fmt: skip
ESTIMATORS = [name for name in MODULES if room(name) == "estimators"]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fit_takes_no_snapshot_and_looks_into_no_object(name):
    """An estimator's attributes are set at the end of a fit, and nowhere else."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Call):
            looks = ast.unparse(node.func) in ("vars", "copy.copy")
            call = ast.unparse(node)
            assert not looks or call in LOOKED_INTO, f"{name}: {call}"
        elif isinstance(node, ast.Attribute) and node.attr == "__dict__":
            is_set = name.endswith(("._fitted", "._shipping"))
            assert is_set, f"{name}: {ast.unparse(node)}"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_private_is_asked_for_in_another_module(name):
    text = MODULES[name].read_text()
    own = set(re.findall(r"(?m)(?:self\.|def |^ +)(_[a-z]\w*)", text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
            is_here = ast.unparse(node.value) in ("self", "cls", "super()")
            is_here |= room(name) != "estimators" and node.attr in own
            assert is_here or node.attr in OF_OTHERS, f"{name}: {ast.unparse(node)}"


TESTS = Path(__file__).parent
FILES = MODULES | {str(p.relative_to(TESTS)): p for p in sorted(TESTS.rglob("*.py"))}


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_files_are_short(path):
    """Those of the tests as well."""
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_functions_and_classes_are_short(path):
    """Bodies of functions without docstrings; classes with everything."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 40, node.name
        elif isinstance(node, ast.ClassDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 250, node.name


def test_public_names_exist():
    assert all(hasattr(sklearn_sparsenet, name) for name in sklearn_sparsenet.__all__)


def test_floors_are_in_order():
    assert all(not (low & high) for low, high in pairwise(FLOORS))
