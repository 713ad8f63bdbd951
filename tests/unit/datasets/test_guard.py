"""Reading in a child: whatever a file does to the child, the caller gets one line."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from co2net.datasets import guard
from co2net.errors import UserError


def size(path, factor=1):
    return Path(path).stat().st_size * factor


def refuse(path):
    raise UserError(f"{path}: no")


def loop(path):
    while True:
        pass


def crash(path):
    os.kill(os.getpid(), signal.SIGSEGV)


def devour(path):
    return len(bytearray(1 << 40))


def leave(path):
    os._exit(3)


def pid(path):
    return os.getpid()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.nc"
    path.write_bytes(b"abc")
    return path


def test_the_result_comes_from_another_process_that_is_kept(path):
    guard.close()
    first = guard.call(pid, path)
    assert first != os.getpid()
    assert guard.call(pid, path) == first
    assert guard.call(partial(size, factor=2), path) == 6
    assert guard.call(size, path, 3) == 9
    guard.close()
    assert guard.call(pid, path) != first


def test_errors_are_those_of_the_function_and_the_child_lives(path):
    first = guard.call(pid, path)
    with pytest.raises(UserError, match=r"x\.nc: no"):
        guard.call(refuse, path)
    with pytest.raises(MemoryError):
        guard.call(devour, path)
    with pytest.raises(FileNotFoundError):
        guard.call(size, path.with_name("none"))
    assert guard.call(pid, path) == first


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (loop, "within 1 s of processor time"),
        (crash, "ended with SIGSEGV"),
        (leave, "ended with status 3"),
    ],
)
def test_a_file_that_ends_the_child_is_named(path, monkeypatch, function, says):
    monkeypatch.setattr(guard, "SECONDS", 1)
    with pytest.raises(UserError, match=says) as caught:
        guard.call(function, path)
    assert str(caught.value).startswith(f"{path}: cannot be read")
    assert str(caught.value).endswith("; it is damaged, fetch it again")
    assert guard.call(size, path) == 3
