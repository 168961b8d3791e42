"""
Find similar images
===================

Given one image, find those like it, without labels: search the nearest
neighbours in a space that deep clustering has learned. For handwritten
digits, far more of the images found are of the right digit than with
the pixels.
"""

# %%
# A space to search in
# --------------------
#
# The network learns from three thousand digits, without their classes. Then it describes another
# three thousand, our album, in which we look for images; and five hundred more are the queries. It
# has seen none of both before.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neighbors import NearestNeighbors

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import FilterDisplay

images, digits = load_mnist_sample(return_X_y=True)
album, album_digits = images[3000:6000], digits[3000:6000]
queries, query_digits = images[6000:6500], digits[6000:6500]

learned = DeepClusterEstimator(
    10, layer="clusters", max_epochs=6, random_state=0
)
learned.fit(images[:3000])

# %%
# `layer="clusters"` asks for the space in which the clusters are, where all rows have unit length.
# A network that has not learned yet, `max_epochs=0`, is there to compare with.

untrained = DeepClusterEstimator(
    10, layer="clusters", max_epochs=0, random_state=0
)
untrained.fit(images[:3000])


def as_pixels(images):
    """Rows of grey levels."""
    return images.reshape(len(images), -1).astype(np.float32)


describe = {
    "pixels": as_pixels,
    "random network": untrained.transform,
    "learned space": learned.transform,
}
nearest = {}
for name, rows_of in describe.items():
    search = NearestNeighbors(n_neighbors=50).fit(rows_of(album))
    nearest[name] = search.kneighbors(
        rows_of(queries), return_distance=False
    )

# %%
# Nearest images
# --------------
#
# One query of each digit, on the left, and its seven nearest images. They are chosen by no other
# rule than this: of each digit, the query for which pixels find the fewest of its own kind. What is
# of another digit has a red frame.

N_SHOWN = 7


def is_right(name):
    """Whether each found image is of the digit that was asked for."""
    return album_digits[nearest[name]] == query_digits[:, np.newaxis]


found_by_pixels = is_right("pixels")[:, :N_SHOWN].sum(axis=1)
chosen = [
    np.flatnonzero(query_digits == digit)[
        found_by_pixels[query_digits == digit].argmin()
    ]
    for digit in range(10)
]


def framed(image, right=True):
    """The image, dark on light; in a red frame if it is wrong."""
    tile = np.full((34, 34, 3), 1.0 if right else (0.84, 0.15, 0.16))
    tile[3:-3, 3:-3] = 1 - image[..., np.newaxis] / 255
    return tile


fig, axes = plt.subplots(1, 2, figsize=(10, 5.8), layout="constrained")
fig.get_layout_engine().set(wspace=0.08)
for ax, name in zip(axes, ("pixels", "learned space"), strict=True):
    tiles = []
    for query in chosen:
        tiles += [framed(queries[query]), np.ones((34, 34, 3))]
        for hit in nearest[name][query, :N_SHOWN]:
            tiles.append(
                framed(
                    album[hit], album_digits[hit] == query_digits[query]
                )
            )
    FilterDisplay(tiles).plot(ax=ax, n_cols=N_SHOWN + 2, normalize=None)
    ax.set_title(f"A query, and its nearest images: {name}")
plt.show()

# %%
# On the left, the eye sees at once why each image came: it covers the query. On the right, strokes
# may lean or lie elsewhere. What goes wrong there goes wrong in another way: the network has never
# been told which differences matter, and an open 4 may well be its idea of a 9.
#
# How often it is right
# ---------------------
#
# The picture flatters the learned space, because its queries were chosen where pixels fail. The
# curves take all five hundred: what share of the nearest *k* images is of the right digit?

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
k = np.arange(1, 51)
for name in nearest:
    shares = is_right(name).mean(axis=0).cumsum() / k
    ax.plot(k, shares, label=name)
    print(
        f"{name:15}"
        + "".join(
            f"  nearest {n}: {shares[n - 1]:.3f}" for n in (1, 10, 50)
        )
    )
ax.set(
    xlabel="k",
    ylabel="share of the right digit",
    title="The nearest k images",
)
ax.legend()
plt.show()
