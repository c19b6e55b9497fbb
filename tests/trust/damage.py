"""Files that were cut short, altered or forged: refused, or the same predictions."""

import copy
import hashlib
import json
import resource
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np

from sklearn_sparsenet import load
from sklearn_sparsenet.estimators._stored import known_classes
from sklearn_sparsenet.utils.declared import declared_types
from tests.trust.campaigns import attack
from tests.trust.specimens import inputs, specimens

# What a file may cost beyond twice its size, as the process's address space grows.
_SLACK = 48 * 2**20
_CODE = ("exec", "compile", "pickle.find_class", "os.system", "os.exec", "import",
         "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect")  # fmt: skip


@cache
def saved_specimens():
    """Return the files of the specimens."""
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for number, estimator in enumerate(specimens()):
            path = Path(folder) / str(number)
            estimator.save(path)
            files.append(path.read_bytes())
    return tuple(files)


class _Watch:
    """Notes what a file makes the interpreter do while it is read."""

    def __init__(self):
        self.armed = False
        self.seen = []
        sys.addaudithook(self._hear)

    def _hear(self, event, details):
        if not self.armed:
            return
        writes = event == "open" and isinstance(details[1], str) and "w" in details[1]
        if event in _CODE or writes:
            self.seen.append(f"{event}{details[:1]}")


@cache
def _watch():
    # What is imported or looked up when it is first needed is there from now on.
    for content in saved_specimens():
        load(BytesIO(content))
    for kind in known_classes().values():
        declared_types(kind)
    return _Watch()


@contextmanager
def _limited_memory(n_bytes):
    """Let the process grow by so much, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _load(content, found):
    """Load from memory; return None if that was refused."""
    watch = _watch()
    with _limited_memory(2 * len(content) + _SLACK):
        watch.seen.clear()
        watch.armed = True
        try:
            loaded = load(BytesIO(content))
        except ValueError:
            loaded = None
        except BaseException as error:
            loaded = None
            found.failures.append(f"{type(error).__name__}: {error}"[:500])
        finally:
            watch.armed = False
    found.check(not watch.seen, f"the file made the interpreter do {watch.seen}")
    found.facts["read" if loaded is not None else "refused"] += 1
    return loaded


_DAMAGES = ("cut short", "flipped bits", "overwritten bytes", "inserted bytes",
            "removed bytes", "two files joined", "zeros")  # fmt: skip


def _damage(rng, content, name):
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 65))
    rest = content[start:]
    if name == "flipped bits":
        changed = bytearray(content)
        for _ in range(rng.integers(1, 9)):
            changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    if name == "two files joined":
        other = saved_specimens()[rng.integers(len(saved_specimens()))]
        rest = other[rng.integers(len(other)) :]
    elif name == "zeros":
        n_zeros = int(rng.integers(len(rest) + 1))
        rest = bytes(n_zeros) + rest[n_zeros:]
    elif name == "cut short":
        rest = b""
    else:
        block = b"" if name == "removed bytes" else rng.bytes(length)
        rest = block + (rest if name == "inserted bytes" else rest[length:])
    return content[:start] + rest


@attack
def check_damaged_file(rng, found):
    """Damage a file at random; what is read must be what was written."""
    number = int(rng.integers(len(saved_specimens())))
    name = _DAMAGES[rng.integers(len(_DAMAGES))]
    loaded = _load(_damage(rng, saved_specimens()[number], name), found)
    if loaded is not None:
        X, _ = inputs()
        same = np.array_equal(loaded.predict(X), specimens()[number].predict(X))
        found.check(same, "read, with other predictions")
    return f"{name} of specimen {number}"


# --- forged: a file that somebody meant to be read ---------------------------------


def _unpack(content):
    """Return document, entries of the arrays and their bytes."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    return json.loads(metadata["document"]), header, content[8 + length :]


_TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "U32": "<u4",
          "U64": "<u8", "U8": "|u1", "BOOL": "|b1", "I8": "|i1", "I16": "<i2",
          "U16": "<u2", "F16": "<f2"}  # fmt: skip


def _sign(text, header, data):
    """Return the checksum that the file claims: whoever forges a file knows how."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(header):
        entry = header[name]
        start, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        digest.update(f"{name} {_TYPES.get(entry['dtype'])} {shape}".encode())
        digest.update(data[start:end])
    return digest.hexdigest()


def _pack(document, header, data):
    text = json.dumps(document)
    metadata = {
        "format": "sklearn_sparsenet", "format_version": "2", "document": text,
        "sha256": _sign(text, header, data),
    }  # fmt: skip
    encoded = json.dumps({"__metadata__": metadata, **header}).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + data


_LONG_STRING = {"!": "strings", "dtype": "<U250000000", "of": ["a"]}
_DATE = {"!": "scalar", "key": "0", "dtype": "<M8[s]"}
_HOSTILE = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**18, 10**400, 1e308, -1e-320, "", "x",
    "<U250000000", "__class__", "predict", "../../etc/passwd", "os.system", [], {},
    [[]], "O", "<f8", "|V99999", float("nan"), float("inf"), _LONG_STRING, _DATE,
    {"!": "dict", "of": []}, {"!": "array", "key": "0"},
    {"!": "object", "class": "Packed", "of": {}}, {"!": "tuple", "of": [10**9, 10**9]},
    {"!": "object", "class": "PruningSchedule", "of": {}},
]  # fmt: skip


def _places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _places(part, (*path, index))


def _at(value, path):
    for step in path:
        value = value[step]
    return value


def _forge_document(rng, document):
    """Replace, remove, move or repeat parts of a document."""
    for _ in range(rng.integers(1, 4)):
        places = [path for path in _places(document) if path]
        if not places:
            return document
        path = places[rng.integers(len(places))]
        parent, key = _at(document, path[:-1]), path[-1]
        kind = rng.integers(5)
        if kind == 0:
            del parent[key]
        elif kind == 1:
            other = _at(document, places[rng.integers(len(places))])
            parent[key] = copy.deepcopy(other)
        elif kind == 2 and isinstance(parent, dict):
            odd = ["predict", "__class__", "checkpoint", "module_", "_route_", "x_"]
            parent[odd[rng.integers(len(odd))]] = parent[key]
        elif kind == 3 and isinstance(parent[key], int):
            parent[key] = int(parent[key] * 10.0 ** rng.integers(-1, 12))
        else:
            parent[key] = copy.deepcopy(_HOSTILE[rng.integers(len(_HOSTILE))])
    return document


def _forge_arrays(rng, header, data):
    name = sorted(header)[rng.integers(len(header))]
    entry = header[name]
    start, end = entry["data_offsets"]
    kind = rng.integers(4)
    if kind == 0 and end > start:  # other values
        block = rng.bytes(end - start)
        data = data[:start] + block + data[end:]
    elif kind == 1:  # another type
        entry["dtype"] = str(rng.choice([*_TYPES, "BF16", "F8_E4M3", "nonsense"]))
    elif kind == 2:  # another shape
        sizes = [0, 1, 7, 2**31, 2**62, -1]
        entry["shape"] = [sizes[i] for i in rng.integers(len(sizes), size=2)]
    else:
        entry["data_offsets"] = [int(v) for v in rng.integers(0, 2**40, size=2)]
    return header, data


@attack
def check_forged_file(rng, found):
    """Forge a file with the right checksum: refused, or read and of some use."""
    number = int(rng.integers(len(saved_specimens())))
    document, header, data = _unpack(saved_specimens()[number])
    if rng.random() < 0.7:
        document = _forge_document(rng, document)
    if rng.random() < 0.4:
        header, data = _forge_arrays(rng, header, data)
    loaded = _load(_pack(document, header, data), found)
    if loaded is not None:
        _check_use(loaded, found)
    return f"specimen {number}"


def _check_use(loaded, found):
    """A file that is read may say what it likes, as long as that is a network."""
    X, _ = inputs()
    found.check(not loaded.get_params().get("checkpoint"), "a file set checkpoint=")
    try:
        with np.errstate(all="ignore"):
            predicted = loaded.predict(X)
        found.check(len(predicted) == len(X), "predicts another number of rows")
    except ValueError:
        found.facts["read, and refuses to predict"] += 1
    except BaseException as error:
        found.failures.append(f"predict raised {type(error).__name__}: {error}"[:500])
