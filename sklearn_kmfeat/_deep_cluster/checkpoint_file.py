"""The place of a checkpoint: checked before the first epoch, kept by one fit, replaced whole."""

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # all others
    msvcrt = None

# Descriptors of the locks of this process. A child that is forked, such as a worker that reads
# images, would keep them locked after this process was killed: it closes them when it begins.
_HELD: set[int] = set()


@contextmanager
def reserved(path: str | os.PathLike | None) -> Iterator[Path | None]:
    """Keep the place of a checkpoint for one fit, until the block ends.

    The lock is the system's, on a file beside the checkpoint: it ends with the process, however
    that ends. Where the system or the file system has no locks, there is none. What killed runs
    left of their temporary files is removed.

    Parameters
    ----------
    path : path-like or None
        None keeps nothing.

    Yields
    ------
    Path or None
        The file itself: absolute, links followed. It stays the same if the current folder changes.

    Raises
    ------
    OSError
        When no file can be written there. A BlockingIOError when another fit writes it.
    """
    if path is None:
        yield None
        return
    with _named(path):
        path = Path(os.path.realpath(path))
        _check_place(path)
        lock = _lock(_beside(path, "lock"))
    process = os.getpid()
    try:
        with _named(path):
            if lock is not None:
                _remove_leftovers(path)
            # By the owner of the lock alone: another would remove it as a leftover.
            _try_to_write(path)
        yield path
    finally:
        # A child that was forked meanwhile has closed its own and must leave that of its parent.
        if lock is not None and os.getpid() == process:
            _unlock(lock, _beside(path, "lock"))


@contextmanager
def _named(path):
    """Errors of the same kind, with the name of the checkpoint and what to do."""
    try:
        yield
    except BlockingIOError as error:
        raise BlockingIOError(
            error.errno,
            f"The checkpoint {str(path)!r} belongs to another fit that is still running, in this "
            "process or in another one. Wait until it ends, or choose another path for this one.",
        ) from None
    except OSError as error:
        raise OSError(
            error.errno,
            f"The checkpoint {str(path)!r} cannot be written: {_reason(error)}. Choose another "
            "path, in a folder where files can be written.",
        ) from error


@contextmanager
def rewritten(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of another in one step, when the block ends without error.

    Parameters
    ----------
    path : Path
        Absolute, links followed: as `reserved` gives it.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        When it cannot be written, such as on a full disk. The file is what it was before.
    """
    part = _new_part(path)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        cause = _os_error(error)
        if cause is None:
            raise
        raise _failed(path, cause) from cause


def _os_error(error):
    """The error of the system in an error, or None.

    On a full disk torch.save fails twice, the second time with a RuntimeError of its own, when it
    closes its archive.
    """
    if not isinstance(error, OSError | RuntimeError):
        return None
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _failed(path, error):
    kept = "There is no earlier one"
    if os.path.exists(path):
        kept = "The file still holds the last whole one, from which the next fit goes on"
    return OSError(
        error.errno,
        f"The checkpoint {str(path)!r} could not be written: {_reason(error)}. {kept}. Make room "
        "there, or choose another path, and fit again.",
    )


def _reason(error):
    return error.strerror or str(error)


def _check_place(path):
    """Raise an OSError where no file can be, whoever asks."""
    folder = path.parent
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {str(folder)!r}")
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{str(folder)!r} is no folder")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, and must be the name of a file")
    if mode is not None and not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "it is a device or the like, not a file")


def _try_to_write(path):
    """Raise an OSError where no file can be written and removed: rights, a full disk."""
    part = _new_part(path)
    try:
        with part.open("xb") as file:
            file.write(b"Can a checkpoint be written here?")
        part.unlink()
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _beside(path, ending):
    """A hidden file in the same folder, with a name that is short however long that of path is."""
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".{digest}.{ending}")


def _new_part(path):
    """A temporary file that no other writer has; one of `tempfile` would be for the owner only."""
    return _beside(path, f"{uuid.uuid4().hex[:12]}.part")


def _remove_leftovers(path):
    """Remove the temporary files of killed runs: that of a running one would hold the lock."""
    for part in path.parent.glob(_beside(path, "*.part").name):
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _lock(path):
    """The descriptor of a locked file, or None where there are no locks.

    Raises
    ------
    BlockingIOError
        When another descriptor has the lock, in this or another process.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock_descriptor(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:  # no locks here
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        # Between the two calls the last owner may have removed the file; then it locks nothing.
        if _is_at(descriptor, path):
            _HELD.add(descriptor)
            return descriptor
        os.close(descriptor)


def _lock_descriptor(descriptor):
    """Lock a file for this descriptor, or raise at once."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(errno.EAGAIN, _reason(error)) from error
    else:
        raise OSError(errno.ENOSYS, "no locks")


def _is_at(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _unlock(descriptor, path):
    """Remove the file and end its lock, in the order in which no other can come between."""
    if fcntl is not None:
        # Removed while it is locked: who opened it before sees in `_lock` that it is gone.
        with suppress(OSError):
            path.unlink()
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    else:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    _HELD.discard(descriptor)
    os.close(descriptor)
    if fcntl is None:
        # Windows removes no file that is open, so not that of one who came between.
        with suppress(OSError):
            path.unlink()


def _forget_locks():
    for descriptor in _HELD:
        with suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
