"""Image files as a lazy sequence that scikit-learn cuts without reading them."""

import os
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from .._utils.ahead import done_ahead
from .._utils.warn import warn
from .decoding import Header, PixelFormat, decoded, scaled_size
from .folders import decoded_formats, images_below
from .items import items_of

#: What paths are made of.
PATHS = (str, os.PathLike)
_MODES = ("auto", "L", "RGB")
_DTYPES = (None, "uint8", "uint16")
# So many names in a message; the report is in `skipped`.
_MOST_NAMED = 5


class ImageFiles(Sequence):
    """Image files, decoded when they are read.

    Every estimator takes it as `X`. It is a sequence: ``files[3]`` is an array, and a slice,
    indices or a mask give another `ImageFiles`, so that `GridSearchCV`, `cross_val_score` and
    `train_test_split` cut it without decoding anything. It pickles as paths.

    Of each file Pillow decodes the first frame. It is turned as its EXIF data tells; palettes,
    CMYK and the like become colours; what is transparent lies on white; sixteen bits keep their
    values.

    Parameters
    ----------
    paths : iterable of str or path-like
        A list, an array or a pandas or polars Series.
    mode : {"auto", "L", "RGB"}, default="auto"
        Grey, an image (H, W), or colours, (H, W, 3). ``"auto"``: grey where all files are grey.
    size : int, (int, int) or None, default=None
        At most so many pixels on the larger side; smaller images stay. Or the height and width
        that all get: scaled until they cover it, and the middle is cut. Large JPEGs are decoded in
        less time. None: as they are.
    dtype : {"uint8", "uint16"} or None, default=None
        The range of the pixels, 0..255 or 0..65535: values in the other one are scaled. None:
        that of the files, or 0..65535 where any has sixteen bits. Files of 32-bit integers or
        floats keep their values, and need to be alone.
    on_error : {"raise", "skip"}, default="raise"
        What happens to files that cannot be decoded: an error when they are met, or, with
        ``"skip"``, all files are decoded once at the beginning, a warning names those that are
        left out, and `skipped` lists them.

    Attributes
    ----------
    paths : list of str
    labels : ndarray of str of shape (n,)
        Of each file the subfolder of the folder given to `from_folder`, `""` for those that lie
        there themselves; without `from_folder` the folder that it lies in.
    sizes : ndarray of shape (n, 2)
        Height and width of what is read, in pixels; from the headers, without decoding.
    skipped : dict
        The reason for each path that was left out.

    Raises
    ------
    ValueError
        For no files, for files that are no images, and where 32-bit images lie among others.
    FileNotFoundError, NotADirectoryError
        For what is not there.

    See Also
    --------
    ClusterGalleryDisplay : Looks at the images of each cluster.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_kmfeat import ImageFiles
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, height in [("a.png", 20), ("b.jpg", 30)]:
    ...     Image.new("RGB", (40, height), "red").save(folder / name)
    >>> files = ImageFiles.from_folder(folder)
    >>> files
    ImageFiles(2 files, mode='auto', size=None, dtype=None)
    >>> files.sizes
    array([[20, 40],
           [30, 40]])
    >>> files[1].shape
    (30, 40, 3)
    >>> len(files[:1])
    1
    """

    #: scikit-learn asks for it: one axis, of images.
    ndim = 1

    def __init__(self, paths, *, mode="auto", size=None, dtype=None, on_error="raise"):
        _check_choice("mode", mode, _MODES)
        dtype = dtype if dtype is None or isinstance(dtype, str) else np.dtype(dtype).name
        _check_choice("dtype", dtype, _DTYPES)
        _check_choice("on_error", on_error, ("raise", "skip"))
        self.paths = _as_paths(paths)
        self.mode, self.dtype, self.size = mode, dtype, _checked_size(size)
        self.skipped, self._root, self._headers, self._format = {}, None, None, None
        # Relative paths mean the same in another process, and later.
        self._here = os.getcwd()
        if on_error == "skip":
            self._skip_unreadable()

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike,
        *,
        mode: str = "auto",
        size: int | tuple[int, int] | None = None,
        dtype: str | None = None,
        on_error: str = "raise",
    ) -> Self:
        """All image files in a folder and its subfolders, sorted by path.

        Files are images by the end of their name; those that begin with a dot, and what lies in
        folders that do, are left out.

        Parameters
        ----------
        folder : path-like
            A name with ``~`` is that of the home folder.
        mode : {"auto", "L", "RGB"}, default="auto"
            As in the class, like those below.
        size : int, (int, int) or None, default=None
            At most so many pixels on the larger side, or height and width.
        dtype : {"uint8", "uint16"} or None, default=None
            The range of the pixels.
        on_error : {"raise", "skip"}, default="raise"
            What happens to files that cannot be decoded.

        Returns
        -------
        ImageFiles
            With the folder's name for `labels`.

        Raises
        ------
        ValueError
            When there is no image file.
        """
        root = os.path.expanduser(os.fspath(folder))
        files = cls(images_below(root), mode=mode, size=size, dtype=dtype, on_error=on_error)
        files._root = root
        return files

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int]:
        """``(n,)``: scikit-learn cuts what has a shape with whole arrays of indices."""
        return (len(self),)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
            index = index[0]  # as scikit-learn cuts whatever has a shape
        if isinstance(index, Integral):
            if not -len(self) <= index < len(self):
                raise IndexError(f"There are {len(self)} files, and none at {index}.")
            return self.read(int(index))
        if not isinstance(index, slice):
            index = np.asarray(index, dtype=None if np.size(index) else int)
        places = np.arange(len(self))[index]
        if places.ndim != 1:
            raise IndexError(f"ImageFiles are cut along one axis, got {index!r}.")
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        # What the files have in common is decided here: parts of them have it in common, too.
        part._format = self.format
        known = self._headers is not None
        part._headers = [self._headers[i] for i in places.tolist()] if known else None
        part.paths = [self.paths[i] for i in places.tolist()]
        return part

    def read(self, i: int) -> np.ndarray:
        """Decode one file.

        Parameters
        ----------
        i : int
            Its place.

        Returns
        -------
        ndarray of shape (H, W) or (H, W, 3)
            Its pixels, as ``files[i]`` gives them.
        """
        return self._read(self.paths[i], self.format)

    def in_size(self, size: int | tuple[int, int] | None) -> "ImageFiles":
        """Read the same files in another size.

        Parameters
        ----------
        size : int, (int, int) or None
            As in the class.

        Returns
        -------
        ImageFiles
            Another sequence.
        """
        files = self[:]
        files.size = _checked_size(size)
        return files

    def in_colours(self) -> "ImageFiles":
        """Read the same files in colours: of grey ones all three channels are alike.

        Returns
        -------
        ImageFiles
            Another sequence.
        """
        files = self[:]
        files.mode, files._format = "RGB", self.format._replace(mode="RGB")
        return files

    def name(self, i: int) -> str:
        """Tell what a file is called in messages.

        Parameters
        ----------
        i : int
            Its place.

        Returns
        -------
        str
            Its path.
        """
        return self.paths[i]

    def _read(self, path, pixel_format):
        with _opened(path, self._here) as image:
            try:
                return decoded(image, pixel_format, self.size, own=True)
            except Exception as error:
                raise _unreadable(path, error) from error

    @property
    def headers(self) -> list[Header]:
        """What the headers of the files tell; read once."""
        if self._headers is None:
            self._headers = [_header(path, self._here) for path in self.paths]
        return self._headers

    @property
    def format(self) -> PixelFormat:
        """The channels and the dtype of what is read."""
        if self._format is None:
            self._format = PixelFormat.common(self.headers, self.paths, self.mode, self.dtype)
        return self._format

    @property
    def sizes(self) -> np.ndarray:
        """(height, width) of what is read, an int array of shape (n, 2)."""
        return np.array([scaled_size((h.height, h.width), self.size) for h in self.headers])

    @property
    def labels(self) -> np.ndarray:
        """Names of subfolders, an array of str of shape (n,)."""
        if self._root is None:
            return np.array([Path(path).parent.name for path in self.paths], dtype=str)
        below = [Path(os.path.relpath(path, self._root)).parts for path in self.paths]
        return np.array([parts[0] if len(parts) > 1 else "" for parts in below], dtype=str)

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("Files are decoded into a new array: copy=False is not possible.")
        different = np.unique(self.sizes, axis=0)
        if len(different) > 1:
            raise ValueError(
                "The images differ in size and make no array: give size=(height, width), or use "
                "list(files)."
            )
        return np.stack(list(self)).astype(dtype or self.format.dtype, copy=False)

    def __repr__(self):
        n = f"{len(self):,} file" + "s" * (len(self) != 1)
        given = f"mode={self.mode!r}, size={self.size!r}, dtype={self.dtype!r}"
        return f"{type(self).__name__}({n}, {given})"

    def _skip_unreadable(self):
        """Leave out what cannot be decoded; a header alone does not tell that a file is cut off."""
        reasons = list(done_ahead(self._reason_against, self.paths))
        self.skipped = {
            path: reason for path, reason in zip(self.paths, reasons, strict=True) if reason
        }
        self.paths = [path for path in self.paths if path not in self.skipped]
        if not self.paths:
            raise ValueError(f"None of the files can be read: {_listed(self.skipped)}.")
        if self.skipped:
            n_all = len(self.paths) + len(self.skipped)
            warn(
                f"{len(self.skipped)} of {n_all} files cannot be read and are left out "
                f"(`skipped` lists them): {_listed(self.skipped)}."
            )

    def _reason_against(self, path):
        try:
            header = _header(path, self._here)
            self._read(path, PixelFormat.common([header], [path], self.mode))
        except (OSError, ValueError) as error:
            return str(error).split(". Leave it out")[0]
        return None

    def __getstate__(self):
        """As paths, and what they have in common, which decides how parts of them are read."""
        return vars(self) | {"_format": self.format, "_headers": None}


def _header(path, here):
    with _opened(path, here) as image:
        try:
            return Header.of(image)
        except Exception as error:  # plugins of Pillow raise whatever a damaged file makes them
            raise _unreadable(path, error) from error


def _opened(path, here):
    """The opened file; nothing is decoded."""
    try:
        return Image.open(os.path.join(here, path), formats=decoded_formats())
    except (FileNotFoundError, PermissionError):
        raise
    except IsADirectoryError as error:
        raise ValueError(
            f"{path} is a folder: ImageFiles.from_folder({path!r}) finds the images in it."
        ) from error
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    reason = str(error).rstrip(".") or type(error).__name__
    return ValueError(
        f"{path} cannot be read as an image: {reason}. Leave it out, or give ImageFiles "
        'on_error="skip".'
    )


def _listed(reasons):
    named = list(reasons)[:_MOST_NAMED]
    more = len(reasons) - len(named)
    return "; ".join(reasons[name] for name in named) + (f"; and {more} more" if more else "")


def _as_paths(paths):
    if isinstance(paths, PATHS):
        path = os.fspath(paths)
        what = f"from_folder({path!r})" if os.path.isdir(path) else f"ImageFiles([{path!r}])"
        raise TypeError(
            f"ImageFiles takes a list of paths, got the single path {path!r}: use {what}."
        )
    items = items_of(paths)
    paths = items if items is not None else list(paths) if isinstance(paths, Iterable) else [paths]
    for i, path in enumerate(paths):
        if not isinstance(path, PATHS):
            raise TypeError(
                f"ImageFiles takes paths, str or path-like, got {type(path).__name__} at {i}."
            )
    if not paths:
        raise ValueError("ImageFiles got no paths: at least one is needed.")
    return [os.fspath(path) for path in paths]


def _checked_size(size):
    if size is None:
        return None
    sides = size if isinstance(size, tuple | list) and len(size) == 2 else [size]
    if all(isinstance(n, Integral) and n >= 1 and not isinstance(n, bool) for n in sides):
        return int(size) if len(sides) == 1 else tuple(int(side) for side in size)
    raise ValueError(
        f"size must be None, a positive int, or (height, width) of positive ints, got {size!r}."
    )


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
