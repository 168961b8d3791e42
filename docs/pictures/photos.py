"""The groups of photographs of the front page: python docs/pictures/photos.py."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from sklearn_kmfeat import ClusterGalleryDisplay, ConsensusClusterer, ImageFiles

PICTURE = Path(__file__).parents[1] / "images" / "photos.png"


def save_pieces(folder, n_pieces=120):
    """Pieces of both photographs of scikit-learn, of different sizes, as files."""
    rng = np.random.RandomState(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        for i in range(n_pieces):
            height, width = rng.randint(90, 180, 2)
            top, left = (rng.randint(n) for n in (photo.shape[0] - height, photo.shape[1] - width))
            piece = photo[top : top + height, left : left + width]
            Image.fromarray(piece).save(Path(folder) / f"{name}{i:03d}.png")


def draw(path=PICTURE):
    """What the code of the front page draws, of a folder of 240 photographs."""
    with TemporaryDirectory() as folder:
        save_pieces(folder)
        photos = ImageFiles.from_folder(folder, size=64, on_error="skip")
        model = ConsensusClusterer(6, random_state=0).fit(photos)
        display = ClusterGalleryDisplay.from_estimator(model, photos, n_images=6)
        display.figure_.savefig(path, dpi=100)


if __name__ == "__main__":
    draw()
