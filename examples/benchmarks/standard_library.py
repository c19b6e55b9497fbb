"""A corpus that every Python brings along: the sources of its standard library.

A document is a piece of some lines of a file, its class the package that the file
belongs to. Files are either of the training or of the test rows, never of both.
"""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupShuffleSplit

__all__ = ["Corpus", "load_corpus"]

_LINES = 30  # of a document
_FEWEST_FILES, _FEWEST, _MOST = 4, 40, 300  # files; documents of a class
_LEFT_OUT = {"site-packages", "__pycache__", "__phello__", "pydoc_data"}
# Words, and what joins them in a source.
_TOKENS = r"(?u)\b\w\w+\b"


@dataclass(frozen=True)
class Corpus:
    """A split of the documents."""

    X_train: sparse.csr_matrix
    X_test: sparse.csr_matrix
    y_train: np.ndarray
    y_test: np.ndarray


def load_corpus(seed: int) -> Corpus:
    """Return TF-IDF of words and pairs of words, for a split by files.

    Parameters
    ----------
    seed : int
        Of the split.
    """
    texts, classes, files = _documents()
    splitter = GroupShuffleSplit(1, test_size=0.25, random_state=seed)
    train, test = next(splitter.split(texts, classes, files))
    words = TfidfVectorizer(
        sublinear_tf=True, min_df=3, token_pattern=_TOKENS, ngram_range=(1, 2)
    )
    X_train = words.fit_transform([texts[i] for i in train])
    X_test = words.transform([texts[i] for i in test])
    y = np.array(classes)
    return Corpus(X_train, X_test, y[train], y[test])


def _documents() -> tuple[list[str], list[str], list[str]]:
    """Return texts, their packages and their files."""
    home = Path(sysconfig.get_path("stdlib"))
    texts, classes, files = [], [], []
    for package in sorted(p for p in home.iterdir() if _is_package(p)):
        sources = sorted(package.rglob("*.py"))
        pieces = [(text, file) for file in sources for text in _pieces(file)]
        if len(sources) < _FEWEST_FILES or len(pieces) < _FEWEST:
            continue
        for text, file in pieces[:: -(-len(pieces) // _MOST)]:
            texts.append(text)
            classes.append(package.name)
            files.append(str(file))
    return texts, classes, files


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").exists() and path.name not in _LEFT_OUT


def _pieces(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    pieces = [lines[i : i + _LINES] for i in range(0, len(lines), _LINES)]
    return ["\n".join(piece) for piece in pieces if len(piece) > _LINES // 2]
