"""
Choose a layer of a network for features
========================================

Each layer of a network can be used as features of an image. Which one
is best for a classifier? A *linear probe* answers: a linear classifier
on the output of one layer. This page compares the layers of a network
after deep clustering with those of the same network before it has
learned anything. Every layer has gained, the last ones most.
"""

# %%
# A network that has learned, and one that has not
# ------------------------------------------------
#
# Three thousand digits for the network to learn from. With `max_epochs=0` an estimator is fitted
# like any other, but its network stays as it was drawn; and the same `random_state` draws the same
# weights. So the two differ in nothing but the learning.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat.datasets import (
    load_cifar10_sample,
    load_mnist_sample,
)


def learned_and_random(images, max_epochs):
    """The same network after so many epochs, and before the first."""
    return {
        "learned": DeepClusterEstimator(
            10, max_epochs=max_epochs, random_state=0
        ).fit(images),
        "random": DeepClusterEstimator(
            10, max_epochs=0, random_state=0
        ).fit(images),
    }


digits, digit_classes = load_mnist_sample(return_X_y=True)
of_digits = learned_and_random(digits[:3000], max_epochs=6)

# %%
# The layers
# ----------
#
# `layer` names what `transform` gives: any layer of the network, or `"embedding"`, its end. The
# maps of a convolution are averaged over a grid of cells, fine where a layer has few channels, so
# that all rows are of similar length. It may be changed after `fit`.

LAYERS = ["conv1", "conv2", "conv3", "conv4", "embedding"]

network = of_digits["learned"]
for layer in LAYERS:
    width = (
        network.set_params(layer=layer).transform(digits[:2]).shape[1]
    )
    print(f"{layer:9}  {width:5} values for an image")

# %%
# The probes
# ----------
#
# A ridge classifier on standardised values; its penalty is chosen on the training images, for each
# layer anew. The digits that it learns from and those that judge it are new to the network.


def probe(networks, train, test, y_train, y_test):
    """Accuracies on test images, a list over the layers for each network."""
    found = {}
    for name, network in networks.items():
        found[name] = []
        for layer in LAYERS:
            network.set_params(layer=layer)
            classifier = make_pipeline(
                StandardScaler(),
                RidgeClassifierCV(alphas=np.logspace(1, 5, 9)),
            )
            classifier.fit(network.transform(train), y_train)
            found[name].append(
                classifier.score(network.transform(test), y_test)
            )
    return found


split = train_test_split(
    digits[3000:],
    digit_classes[3000:],
    train_size=500,
    test_size=2000,
    stratify=digit_classes[3000:],
    random_state=0,
)
accuracies = {"digits": probe(of_digits, *split)}

# %%
# The same with photographs
# -------------------------
#
# Digits are easy. The other sample of the package has two thousand photographs of CIFAR-10, which
# is very few for a network. Fifteen hundred are for the network and, with labels, for the probes;
# five hundred judge.

photos, photo_classes = load_cifar10_sample(return_X_y=True)
split = train_test_split(
    photos,
    photo_classes,
    test_size=500,
    stratify=photo_classes,
    random_state=0,
)
accuracies["photographs"] = probe(
    learned_and_random(split[0], max_epochs=10), *split
)

# %%

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for ax, (images, found) in zip(axes, accuracies.items(), strict=True):
    for name, values in found.items():
        style = "-" if name == "learned" else "--"
        ax.plot(
            LAYERS, values, style, marker="o", label=f"{name} weights"
        )
    ax.set(title=f"Linear probes, {images}", ylabel="accuracy")
    ax.legend()
plt.show()

# %%

for images, found in accuracies.items():
    print(f"{images:12}" + "".join(f"{layer:>11}" for layer in LAYERS))
    for name, values in found.items():
        print(
            f"  {name:10}"
            + "".join(f"{value:11.3f}" for value in values)
        )

# %%
# Of digits, every layer says more after learning, and the later the layer, the more it has gained.
# Of photographs, random weights are hard to beat with so few: the first layers and the end have
# gained a little, the best layer nothing, and the differences are within what five hundred
# photographs can tell. With 50,000 photographs to learn from the picture is another one: see the
# benchmarks.
