import pytest


def test_how_many_pseudo_labels(tiny, images):
    X, _ = images(n=60)
    assert tiny(n_pseudo_labels="auto").fit(X).n_pseudo_labels_ == (6,)
    assert tiny(n_pseudo_labels="auto", n_clusters=8).fit(X).n_pseudo_labels_ == (8,)
    for wrong in (61, (3, 0), (2.5,), ()):
        with pytest.raises(ValueError, match="n_pseudo_labels must be ints from 1 to"):
            tiny(n_pseudo_labels=wrong).fit(X)
    with pytest.raises(ValueError, match=r"n_samples=2 should be >= 3"):
        tiny().fit(X[:2])
