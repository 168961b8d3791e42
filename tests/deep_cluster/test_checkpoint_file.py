"""Where a checkpoint can be written, who may write it, and what is left when that fails."""

import errno
import os
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from sklearn_kmfeat._deep_cluster import checkpoint_file
from sklearn_kmfeat._deep_cluster.checkpoint_file import reserved, rewritten

needs_flock = pytest.mark.skipif(checkpoint_file.fcntl is None, reason="needs flock")


def write(path, content=b"whole"):
    with rewritten(path) as file:
        file.write(content)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_nothing_is_reserved_without_a_checkpoint():
    with reserved(None) as path:
        assert path is None


def test_the_place_stays_when_the_folder_changes(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with reserved("run.pt") as path:
        monkeypatch.chdir(tmp_path / "other")
        write(path)
    assert names(tmp_path) == {"run.pt", "other"}
    assert names(tmp_path / "other") == set()


def test_links_are_followed(tmp_path):
    (tmp_path / "link.pt").symlink_to(tmp_path / "run.pt")
    with reserved(tmp_path / "link.pt") as path:
        assert path == tmp_path / "run.pt"
        with pytest.raises(BlockingIOError), reserved(tmp_path / "run.pt"):
            pass
        write(path)
    assert (tmp_path / "link.pt").is_symlink()
    assert names(tmp_path) == {"link.pt", "run.pt"}


def test_others_may_read_it_as_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write(tmp_path / "run.pt")
    assert (tmp_path / "run.pt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("place", "kind", "message"),
    [
        ("nowhere/run.pt", FileNotFoundError, r"run\.pt' cannot.*no folder '.*nowhere'"),
        ("plain/run.pt", NotADirectoryError, "'.*plain' is no folder"),
        ("plain/under/run.pt", FileNotFoundError, "no folder '.*under'"),
        ("folder", IsADirectoryError, "it is a folder, and must be the name of a file"),
        ("pipe", FileExistsError, "it is a device or the like"),
        ("loop", OSError, "Too many levels of symbolic links"),
        (256 * "n", OSError, "File name too long"),
    ],
)
def test_no_place_for_a_file(place, kind, message, tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    expected = f"The checkpoint '.*{message}.*Choose another path, in a folder"
    with pytest.raises(kind, match=expected) as caught, reserved(tmp_path / place):
        pytest.fail("It cannot be written there.")
    assert caught.value.errno == caught.value.__cause__.errno
    assert names(tmp_path) == before


def test_the_longest_name(tmp_path):
    with reserved(tmp_path / (255 * "n")) as path:
        write(path)
    assert names(tmp_path) == {255 * "n"}


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_takes_no_file(code, tmp_path, monkeypatch):
    """Tests may run as root, for whom modes forbid nothing."""

    def refuse(path, *args, **kwargs):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    reason = f"run.pt' cannot be written: {os.strerror(code)}"
    kind = PermissionError if code == errno.EACCES else OSError
    with pytest.raises(kind, match=reason) as caught, reserved(tmp_path / "run.pt"):
        pytest.fail("It cannot be written there.")
    assert caught.value.errno == code
    assert names(tmp_path) == set()


@contextmanager
def largest_file(n_bytes):
    """The system refuses to let files grow beyond that, as if the disk were full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write_large", [torch.save, lambda rows, file: file.write(rows.numpy())])
def test_a_full_disk(write_large, tmp_path):
    """torch.save turns the error of the system into one of its own."""
    path = tmp_path / "run.pt"
    for kept in ("There is no earlier one", "still holds the last whole one"):
        with (
            largest_file(100_000),
            pytest.raises(OSError, match=rf"run\.pt' could not.*{kept}.*Make room") as caught,
            rewritten(path) as file,
        ):
            write_large(torch.rand(100_000), file)
        assert caught.value.errno == errno.EFBIG
        assert isinstance(caught.value.__cause__, OSError)
        write(path)
        assert names(tmp_path) == {"run.pt"}
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_other_errors_stay_what_they_are(error, tmp_path):
    write(tmp_path / "run.pt")

    def fail():
        with rewritten(tmp_path / "run.pt") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert (tmp_path / "run.pt").read_bytes() == b"whole"
    assert names(tmp_path) == {"run.pt"}


def test_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "run.pt"
    with rewritten(path) as first:
        first.write(b"first")
        write(path, b"second")
    assert path.read_bytes() == b"first"


def test_leftovers_of_killed_runs(tmp_path):
    path, other = tmp_path / "run.pt", tmp_path / "other.pt"
    for each in (path, other):
        checkpoint_file._new_part(each).write_bytes(b"of a killed run")
    with rewritten(other), reserved(path):
        assert len(names(tmp_path)) == 3  # the lock, and those of the other file
    with reserved(other):
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == {"other.pt"}


def test_leftovers_stay_while_they_may_be_in_use(tmp_path):
    with reserved(tmp_path / "run.pt") as path:
        with rewritten(path) as file:
            with pytest.raises(BlockingIOError), reserved(path):
                pass
            file.write(b"whole")
        assert path.read_bytes() == b"whole"


@needs_flock
def test_one_at_a_time(tmp_path):
    path = tmp_path / "run.pt"
    refused = []

    def again():
        try:
            with reserved(path):
                pass
        except BlockingIOError as error:
            refused.append(error)

    with reserved(path), reserved(tmp_path / "other.pt"):
        again()
        thread = threading.Thread(target=again)
        thread.start()
        thread.join()
    again()
    assert len(refused) == 2
    for error in refused:
        assert "run.pt' belongs to another fit that is still running" in str(error)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert names(tmp_path) == set()
    with pytest.raises(ZeroDivisionError), reserved(path):
        raise ZeroDivisionError
    with reserved(path):
        pass


@needs_flock
def test_many_threads_in_turn(tmp_path):
    """The lock is removed and made anew, and never is held twice."""
    path = tmp_path / "run.pt"
    inside, most, times = 0, 0, 0
    guard = threading.Lock()

    def work():
        nonlocal inside, most, times
        for _ in range(200):
            try:
                with reserved(path):
                    with guard:
                        inside, times = inside + 1, times + 1
                        most = max(most, inside)
                    os.sched_yield()
                    with guard:
                        inside -= 1
            except BlockingIOError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert times >= 4
    assert names(tmp_path) == set()


@needs_flock
def test_a_lock_that_its_owner_removes_meanwhile(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    lock = checkpoint_file._beside(path, "lock")
    real = checkpoint_file._lock_descriptor
    tries = []

    def removed_first(descriptor):
        if not tries:
            lock.unlink()
        tries.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(checkpoint_file, "_lock_descriptor", removed_first)
    with reserved(path):
        assert len(tries) == 2
        assert lock.exists()
        with pytest.raises(BlockingIOError), reserved(path):
            pass


def test_without_locks(tmp_path, monkeypatch):
    def unsupported(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(checkpoint_file, "_lock_descriptor", unsupported)
    part = checkpoint_file._new_part(tmp_path / "run.pt")
    part.write_bytes(b"perhaps of a running fit")
    with reserved(tmp_path / "run.pt") as path, reserved(tmp_path / "run.pt"):
        write(path)
    assert names(tmp_path) == {"run.pt", part.name}


def start(script, *args):
    """Another process, which has said that it is ready, and what it said."""
    # The module alone: to import torch takes seconds.
    folder = Path(checkpoint_file.__file__).parent
    head = f"import os, sys, time; sys.path.append({str(folder)!r})\n"
    head += "from checkpoint_file import reserved\n"
    process = subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(script), *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


HOLDS = """
    with reserved(sys.argv[1]):
        print("ready", flush=True)
        time.sleep(100)
"""
HOLDS_WITH_A_CHILD = """
    with reserved(sys.argv[1]):
        heard, said = os.pipe()
        child = os.fork()
        if child:
            os.read(heard, 1)  # it has begun
            print(child, flush=True)
        else:
            os.write(said, b"!")
        time.sleep(100)
"""
CHILD_ENDS = """
    with reserved(sys.argv[1]):
        child = os.fork()
        if not child:
            sys.exit()
        os.waitpid(child, 0)
        print("ready", flush=True)
        time.sleep(100)
"""


@needs_flock
@pytest.mark.parametrize("script", [HOLDS, HOLDS_WITH_A_CHILD, CHILD_ENDS], ids=[0, 1, 2])
def test_the_lock_of_another_process_ends_with_it(script, tmp_path):
    path = tmp_path / "run.pt"
    process, said = start(script, path)
    try:
        with pytest.raises(BlockingIOError, match="another fit that is still running"):
            reserved(path).__enter__()
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        # What it left: the file of the lock, which locks nothing any more.
        assert len(names(tmp_path)) == 1
        with reserved(path):
            write(path)
        assert names(tmp_path) == {"run.pt"}
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
        if said.isdigit():
            os.kill(int(said), signal.SIGKILL)


def test_the_lock_is_no_secret(tmp_path):
    """Another user of the same folder must be able to find out that a fit is running."""
    with reserved(tmp_path / "run.pt"):
        (lock,) = tmp_path.iterdir()
        (tmp_path / "plain").write_bytes(b"")
        assert stat.S_IMODE(lock.stat().st_mode) == (tmp_path / "plain").stat().st_mode & 0o777
