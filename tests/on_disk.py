"""An array that is not in memory, as the tests of several modules need one."""


class OnDisk:
    """Gives pieces of an array, as h5py and zarr do, and refuses to be read whole.

    Counts what is read in `n_read`; `most` bounds a piece.
    """

    def __init__(self, data, most=None):
        self.data, self.most, self.n_read = data, most, 0
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        part = self.data[index]
        assert self.most is None or len(part) <= self.most
        self.n_read += len(part)
        return part

    def __array__(self, *args, **kwargs):
        raise AssertionError("read whole")
