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
# The network learns from three thousand digits, without their classes.
# We search among another three thousand, for images like each of five
# hundred queries. The network has seen none of both.

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
# `layer="clusters"` is the space in which the clusters are made; its
# rows have unit length. A network that has not learned,
# `max_epochs=0`, is there for comparison.

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
# One query of each digit, on the left, and its seven nearest images.
# Images of another digit have a red frame. The queries are hard ones:
# of each digit, the one for which pixels find the fewest of its kind.

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


for name in ("pixels", "learned space"):
    fig, ax = plt.subplots(figsize=(5, 5.6), layout="constrained")
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
    ax.set_title(f"Query and nearest images: {name}")
plt.show()

# %%
# With pixels, an image is near if its strokes cover those of the query.
# In the learned space strokes may lean or lie elsewhere.
#
# How often it is right
# ---------------------
#
# The queries above were chosen where pixels fail. Over all five hundred
# queries, what share of the nearest *k* images is of the right digit?

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

# sphinx_gallery_thumbnail_number = 2
