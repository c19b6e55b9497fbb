"""A file is replaced whole or not at all."""

import errno
import os
import stat

import pytest

from sklearn_sparsenet.utils import atomic_files
from sklearn_sparsenet.utils.atomic_files import write_atomically

OLD, NEW = b"old" * 100, b"new" * 100_000
OPERATIONS = ("open_new", "write", "fsync", "replace", "fsync_directory")


def in_pieces(file):
    for start in range(0, len(NEW), 10_000):
        file.write(NEW[start : start + 10_000])


def end_from(call, end, monkeypatch):
    """Let all operations end from the one with that number on; return their names."""
    called = []

    def wrap(name):
        original = getattr(atomic_files, name)

        def operation(*arguments):
            called.append(name)
            if len(called) >= call:
                end()
            return original(*arguments)

        monkeypatch.setattr(atomic_files, name, operation)

    for name in OPERATIONS:
        wrap(name)
    return called


@pytest.mark.parametrize("content", [NEW, in_pieces], ids=["bytes", "callable"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()], ids=repr
)
def test_a_failure_anywhere_leaves_the_file_as_it_was(content, error, tmp_path):
    path = tmp_path / "file"

    def fail():
        raise error

    for call in range(1, 100):
        path.write_bytes(OLD)
        with pytest.MonkeyPatch.context() as patch:
            called = end_from(call, fail, patch)
            try:
                write_atomically(path, content)
            except type(error):
                expected = NEW if called[-1] == "fsync_directory" else OLD
            else:
                break
        assert path.read_bytes() == expected
        assert os.listdir(tmp_path) == ["file"]
    assert path.read_bytes() == NEW
    assert set(called) == set(OPERATIONS)
    assert call > len(OPERATIONS)


def test_a_process_that_is_killed_anywhere_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    killed, call = True, 0
    while killed:
        call += 1
        path.write_bytes(OLD)
        child = os.fork()
        if not child:
            with pytest.MonkeyPatch.context() as patch:
                end_from(call, lambda: os.kill(os.getpid(), 9), patch)
                write_atomically(path, in_pieces)
            os._exit(0)
        killed = os.waitpid(child, 0)[1] != 0
        assert path.read_bytes() in (OLD, NEW)
    assert path.read_bytes() == NEW
    assert call > len(OPERATIONS)


@pytest.mark.parametrize("convert", [str, os.fsencode, lambda path: path])
def test_a_new_file_has_the_mode_of_the_umask(convert, tmp_path):
    path = tmp_path / ("n" * 250)
    before = os.umask(0o027)
    try:
        write_atomically(convert(path), NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_links_are_followed_and_pipes_stay_pipes(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == NEW
    write_atomically(os.devnull, NEW)
    assert not os.path.isfile(os.devnull)
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, NEW)
