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
# Two networks
# ------------
#
# One learns from three thousand digits. With `max_epochs=0` the other
# stays at its initial weights, which the same `random_state` makes the
# same: the two differ only by the learning.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat.datasets import load_mnist_sample

images, digits = load_mnist_sample(return_X_y=True)

networks = {
    "after deep clustering": DeepClusterEstimator(
        10, max_epochs=8, random_state=0
    ),
    "initial weights": DeepClusterEstimator(
        10, max_epochs=0, random_state=0
    ),
}
for network in networks.values():
    network.fit(images[:3000])

# %%
# The layers
# ----------
#
# `layer` is the name of the layer whose output `transform` returns: any
# layer of the network, or `"embedding"`, its end. The maps of a
# convolution are averaged over a grid of cells, finer where a layer has
# fewer channels. `layer` may be changed after `fit`.

LAYERS = ["conv1", "conv2", "conv3", "conv4", "embedding"]

network = networks["after deep clustering"]
for layer in LAYERS:
    rows = network.set_params(layer=layer).transform(images[:2])
    print(f"{layer:9}  {rows.shape[1]:5} features")

# %%
# The probes
# ----------
#
# A ridge classifier on standardised features, from 300 labelled digits
# that the networks have not seen; 2,000 others are the test.

train, test = slice(3000, 3300), slice(4000, 6000)


def probe(network, layer):
    """Test accuracy of a linear classifier on one layer."""
    network.set_params(layer=layer)
    ridge = RidgeClassifierCV(alphas=np.logspace(1, 5, 9))
    classifier = make_pipeline(StandardScaler(), ridge)
    rows = network.transform(images[train])
    classifier.fit(rows, digits[train])
    rows = network.transform(images[test])
    return classifier.score(rows, digits[test])


accuracies = {
    name: [probe(network, layer) for layer in LAYERS]
    for name, network in networks.items()
}

fig, ax = plt.subplots(figsize=(4.4, 3.1), layout="constrained")
for (name, values), style in zip(
    accuracies.items(), ("o-", "s--"), strict=True
):
    ax.plot(LAYERS, values, style, label=name)
ax.set(ylabel="accuracy", title="Linear probes, 300 labels")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%

print(f"{'':22}" + "".join(f"{layer:>11}" for layer in LAYERS))
for name, values in accuracies.items():
    print(f"{name:22}" + "".join(f"{value:11.3f}" for value in values))

# %%
# Use the layer with the best probe, by cross-validation on your own
# labels.
