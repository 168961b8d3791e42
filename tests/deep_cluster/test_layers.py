import numpy as np
import pytest
from torch import nn


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)
        self.never = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(self.layer(x)).flatten(1)


def test_layers(tiny, images):
    X, _ = images((16, 16))
    estimator = tiny().fit(X)
    for layer, width in [
        ("conv1", 4 * 16 * 16),
        ("conv3", 16 * 4 * 4),
        ("fc", 16),
        ("clusters", 6),
    ]:
        estimator.set_params(layer=layer)
        rows = estimator.transform(X)
        assert rows.shape == (40, width)
        assert len(estimator.get_feature_names_out()) == width
        np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)
    estimator.set_params(layer="fc.1")
    assert estimator.transform(X).min() < 0
    twice = tiny(module=Twice, net_params=None, max_epochs=0).fit(X)
    for layer, n in {"layer": 2, "never": 0}.items():
        with pytest.raises(ValueError, match=f"layer='{layer}' runs {n} times"):
            twice.set_params(layer=layer).transform(X)
    with pytest.raises(ValueError, match=r"layer='conv9' is no layer.*'conv1'"):
        estimator.set_params(layer="conv9").transform(X)
    with pytest.raises(ValueError, match="layer='conv9' is no layer"):
        tiny(layer="conv9").fit(X)
    with pytest.raises(ValueError, match="layer='never' runs 0 times"):
        tiny(module=Twice, net_params=None, layer="never").fit(X)
    frame = tiny(layer="fc").set_output(transform="pandas").fit(X).transform(X)
    assert list(frame.columns[:2]) == ["deepclusterestimator0", "deepclusterestimator1"]
