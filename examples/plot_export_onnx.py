"""
Export a model to ONNX
======================

A fitted model can run where there is no scikit-learn: in a service, in
another language, on a phone. :func:`~sklearn_kmfeat.to_torch` makes one
PyTorch module of a whole pipeline, PyTorch writes it as an ONNX file,
and ONNX Runtime runs the file. This page does so with a classifier of
handwritten digits and checks that the numbers stay the same.

It needs the packages ``onnx``, ``onnxscript`` and ``onnxruntime``.
"""

# %%
# Fit a model
# -----------
#
# Features from k-means filters, scaled, and a linear classifier.

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_mnist_sample

images, digits = load_mnist_sample(return_X_y=True)
train, test = images[:2000], images[2000:4000]

model = make_pipeline(
    KMeansFilterLearner(64, n_patches=20_000, random_state=0),
    FunctionTransformer(np.sqrt),
    StandardScaler(),
    LogisticRegression(C=0.01),
)
model.fit(train, digits[:2000])
print(f"accuracy: {model.score(test, digits[2000:4000]):.1%}")

# %%
# Make a PyTorch module of it
# ---------------------------
#
# The module takes a tensor (n, channels, height, width) in the range of
# values of the training images, and gives what `decision_function` of
# the pipeline gives: a score for each class.

import torch

from sklearn_kmfeat import to_torch

module = to_torch(model).eval()
example = torch.from_numpy(train[:2, np.newaxis])
print(example.dtype, tuple(example.shape), "->", end=" ")
print(tuple(module(example).shape))

# %%
# Write an ONNX file
# ------------------
#
# `dynamic_shapes` says that the number of images may vary. The size of
# the images is that of the example.

import tempfile
from pathlib import Path

file = Path(tempfile.mkdtemp()) / "digits.onnx"
program = torch.onnx.export(
    module,
    (example,),
    input_names=["images"],
    output_names=["scores"],
    dynamic_shapes=({0: torch.export.Dim("n")},),
    dynamo=True,
    verbose=False,
)
program.save(file)
print(f"{file.name}: {file.stat().st_size / 1024:.0f} kB")

# %%
# Run the file
# ------------
#
# From here on neither scikit-learn nor PyTorch is needed.

import onnxruntime

session = onnxruntime.InferenceSession(file)
batch = test[:, np.newaxis]
[scores] = session.run(["scores"], {"images": batch})

# %%
# The scores are those of the pipeline, up to rounding, and so are the
# classes.

expected = model.decision_function(test)
same = scores.argmax(axis=1) == model.predict(test)
print(f"largest difference: {abs(scores - expected).max():.0e}")
print(f"same class: {same.mean():.1%} of {len(test):,} images")

# %%
# How sure is it? The softmax of the scores is `predict_proba`.

import matplotlib.pyplot as plt

chances = np.exp(scores - scores.max(axis=1, keepdims=True))
chances /= chances.sum(axis=1, keepdims=True)

fig, axes = plt.subplots(
    2, 6, figsize=(6.4, 3.6), height_ratios=(1, 1), layout="constrained"
)
for column, image, p in zip(axes.T, test, chances, strict=False):
    column[0].imshow(image, cmap="gray")
    column[0].set_axis_off()
    column[0].set_title(f"{p.argmax()} ({p.max():.0%})")
    column[1].bar(range(10), p, color="C0")
    column[1].set(ylim=(0, 1), xticks=(0, 5), yticks=())
axes[1, 0].set_ylabel("probability")
plt.show()

# %%
# Speed
# -----
#
# One image at a time, as in a service, and all 2,000 at once.

from time import perf_counter


def milliseconds(call, images, n_times):
    """Median time of a call."""
    times = []
    for _ in range(n_times):
        begin = perf_counter()
        call(images)
        times.append(perf_counter() - begin)
    return 1000 * np.median(times)


def run_onnx(images):
    """The scores of images (n, height, width)."""
    return session.run(None, {"images": images[:, np.newaxis]})


for n, n_times in ((1, 20), (len(test), 3)):
    ours = milliseconds(model.decision_function, test[:n], n_times)
    onnx = milliseconds(run_onnx, test[:n], n_times)
    print(f"{n:4} images: pipeline {ours:6.1f} ms, ONNX {onnx:6.1f} ms")
