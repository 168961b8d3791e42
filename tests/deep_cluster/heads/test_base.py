"""A head is one class and one entry in the table: a toy of each kind."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster.heads import HEADS, heads_that
from sklearn_kmfeat._deep_cluster.heads.base import Head


class MeansHead(Head):
    """Scores are distances to the mean embedding of each cluster, in memory of the last epoch."""

    default_sampling = "shuffle"
    projects = True
    per_image_buffers = ("last_seen",)

    def __init__(self, n_features, n_labels, n_images, relu, scale=2.0):
        super().__init__()
        self.scale = scale
        self.layer = nn.Linear(n_features, 5)
        self.register_buffer("last_seen", torch.zeros(n_images, 5))
        self.register_buffer("means", torch.zeros(len(n_labels), max(n_labels), 5))

    def rows_to_cluster(self):
        return self.last_seen

    def renew(self, labels):
        for means, assignment in zip(self.means, labels, strict=True):
            for k in assignment.unique():
                means[k] = self.last_seen[assignment == k].mean(0)

    def projected(self, embeddings):
        return F.normalize(self.layer(embeddings))

    def forward(self, embeddings, index):
        rows = self.projected(embeddings)
        self.last_seen[index] = rows.detach()
        return [-self.scale * torch.cdist(rows, means) for means in self.means]


class FreshHead(Head):
    """A classifier that starts anew behind a layer that stays."""

    restarts = True

    def __init__(self, n_features, n_labels, n_images, relu):
        super().__init__()
        self.stays = nn.Linear(n_features, 6)
        self.classifier = nn.Linear(6, n_labels[0])

    def fresh_parameters(self):
        return self.classifier.parameters()

    def renew(self, labels):
        self.classifier.reset_parameters()

    def forward(self, embeddings, index):
        return [self.classifier(self.stays(embeddings).relu())]


@pytest.fixture(params=[MeansHead, FreshHead])
def toy(request, monkeypatch):
    monkeypatch.setitem(HEADS, "toy", request.param)
    return request.param


def test_a_new_head(toy, tiny, images, assert_same_fit, tmp_path):
    X, _ = images((8, 8, 3))
    fit = tiny(head="toy", max_epochs=4).fit(X)
    assert isinstance(fit.net_.module_.head, toy)
    assert np.isfinite([record["loss"] for record in fit.history_]).all()
    assert fit.history_[-1]["loss"] < fit.history_[0]["loss"]
    np.testing.assert_array_equal(fit.predict(X), fit.labels_)
    assert fit.net_.recipe.sampling == toy.default_sampling
    assert hasattr(fit.net_, "head_optimizer_") == toy.restarts
    path = tmp_path / "run.pt"
    tiny(head="toy", max_epochs=2, checkpoint=path).fit(X)
    assert_same_fit(tiny(head="toy", max_epochs=4, checkpoint=path).fit(X), fit)


def test_a_new_head_goes_on_with_other_images(toy, tiny, images, assert_same_fit):
    X, _ = images()
    warm = tiny(head="toy", warm_start=True).fit(X)
    warm.set_params(max_epochs=4).fit(X)
    assert_same_fit(warm, tiny(head="toy", max_epochs=4).fit(X))
    more, _ = images(n=50)
    assert warm.set_params(max_epochs=5).fit(more).labels_.shape == (50,)


def test_what_a_new_head_declares_is_offered(toy, tiny, images):
    X, _ = images()
    projection = tiny(head="toy", cluster_space="projection", layer="clusters")
    fresh_lr = tiny(head="toy", net_params={"head_optimizer__lr": 0.3})
    if toy is MeansHead:
        assert projection.fit(X).transform(X).shape[1] <= 5
        assert tiny(head="toy", net_params={"head__scale": 3.0}).fit(X)
        with pytest.raises(ValueError, match="only head='reset' makes a classifier new"):
            fresh_lr.fit(X)
    else:
        assert fresh_lr.fit(X).net_.head_optimizer_.defaults["lr"] == 0.3
        with pytest.raises(ValueError, match="is that of head='prototypes', but head is 'toy'"):
            projection.fit(X)


def test_a_head_that_is_no_entry(images):
    with pytest.raises(ValueError, match="'head' parameter of DeepClusterEstimator must be a str"):
        DeepClusterEstimator(head="toy").fit(images()[0])


def test_parameters_that_start_anew_are_not_learned_twice():
    head = FreshHead(4, (3,), 8, relu=False)
    fresh = {id(parameter) for parameter in head.fresh_parameters()}
    learned = {id(parameter) for _, parameter in head.learned_parameters()}
    assert not fresh & learned
    assert fresh | learned == {id(parameter) for parameter in head.parameters()}


def test_names_for_messages():
    assert heads_that("projects") == "'prototypes'"
    assert heads_that("restarts") == "'reset'"


@pytest.mark.parametrize("name", list(HEADS))
def test_buffers_of_single_images_are_buffers(name):
    head = HEADS[name](4, (3,), 8, True)
    buffers = dict(head.named_buffers())
    assert all(len(buffers[buffer]) == 8 for buffer in head.per_image_buffers)
