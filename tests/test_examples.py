"""The demo and the helpers of the benchmarks, on a handful of images."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.kernel_ridge import KernelRidge
from sklearn.utils import Bunch

from sklearn_kmfeat import BagOfPatches, DeepClusterEstimator, ImageFiles, KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample, load_mnist_sample

ROOT = Path(__file__).parents[1]


def load(folder, name):
    """Import a script that is in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def demo():
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    return load("examples", "demo")


@pytest.fixture
def benchmark_module(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    yield lambda name: load("benchmarks", name)
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == ROOT / "benchmarks":
            del sys.modules[name]


@pytest.fixture(scope="module")
def photos():
    sample = load_cifar10_sample()
    return Bunch(images=sample.images[:200], target=sample.target[:200])


def test_demo_compares_pixels_and_features(demo, photos, tmp_path):
    learner, accuracies = demo.compare_features(
        photos, n_test=50, n_filters=20, n_patches=2000, max_iter=3
    )
    assert list(accuracies) == ["raw pixels", "learned features"]
    assert all(0 <= accuracy <= 1 for accuracy in accuracies.values())
    demo.draw_filters(learner, tmp_path / "new folder" / "filters.png")
    assert (tmp_path / "new folder" / "filters.png").stat().st_size > 1000


def test_demo_clusters_whole_digits(demo, tmp_path):
    sample = load_mnist_sample()
    digits = Bunch(images=sample.images[:300], target=sample.target[:300])
    learner, purity = demo.cluster_digits(digits, 10, n_init=1)
    assert learner.filters_.shape == (10, 28, 28, 1)
    assert 0.4 < purity < 0.9
    demo.draw_centroids([learner, learner], tmp_path / "centroids.png")
    assert (tmp_path / "centroids.png").stat().st_size > 1000


def test_demo_table(demo):
    table = demo.make_table([("raw pixels", 0.324)], [(10, 0.57, 0.5722)])
    assert "| CIFAR-10 sample, raw pixels: accuracy | 32.4% |  |" in table
    assert "0.5700 | 0.5722 |" in table


def test_plain_ways_of_the_speed_benchmark_agree_with_ours(benchmark_module, photos):
    speed = benchmark_module("speed")
    learner = KMeansFilterLearner(8, n_patches=500, max_iter=2, random_state=0)
    features = learner.fit(photos.images[:20]).transform(photos.images[:2])
    plain = benchmark_module("_encoding_speed").plain_features(photos.images[:2], learner)
    np.testing.assert_allclose(features, plain, rtol=1e-3, atol=1e-2)

    digits = load_mnist_sample().images[:20]
    bag = BagOfPatches(5, n_patches=500, random_state=0).fit(digits)
    counts, plain = bag.transform(digits), speed.plain_bags(digits, bag)
    assert np.abs(counts - plain).sum() <= 1e-3 * plain.sum()


def test_kmeans_of_the_speed_benchmark_agree(benchmark_module):
    speed = benchmark_module("_kmeans_speed")
    patches = np.random.RandomState(0).randn(600, 5).astype(np.float32)
    start = patches[:7].copy()
    centers = speed.our_kmeans(patches, start, 3)
    np.testing.assert_allclose(centers, speed.sklearn_kmeans(patches, start, 3), atol=1e-4)
    memory = benchmark_module("_memory")
    assert memory.peak_bytes() >= memory.resident_bytes() > 0


def test_kmeans_of_the_gpu_benchmark(benchmark_module, monkeypatch):
    gpu = benchmark_module("gpu")
    run = gpu.Run(torch.device("cpu"), True, 0.01)
    patches = np.random.RandomState(0).randn(600, 5).astype(np.float32)
    monkeypatch.setattr(gpu, "whitened_patches", lambda n: (np.resize(patches, (n, 5)), "noise"))

    def fails(X, start, n_iter):
        raise KeyError("of another package")

    others = {"the same": gpu.our_kmeans, "missing": gpu.fast_pytorch_kmeans, "broken": fails}
    monkeypatch.setattr(gpu, "OTHERS", others)
    monkeypatch.setitem(sys.modules, "fast_pytorch_kmeans", None)
    gpu.measured(run, "kmeans")
    assert [row["beside"] for row in run.rows] == [
        "the matrix product alone",
        "the same",
        "50 Lloyd iterations from random rows",
    ]
    # Differences of so short times, which noise may turn round.
    assert all(np.isfinite([row["ours (s)"], row["ratio"]]).all() for row in run.rows)
    remarks = "".join(run.remarks)
    assert "missing cannot be imported" in remarks
    assert "FAILED: broken" in remarks
    assert "KeyError: 'of another package'" in remarks
    assert "the same: inertia after 6 iterations from the same start is +0.0e+00" in remarks


def test_the_gpu_benchmark_goes_on_after_an_error(benchmark_module, monkeypatch, tmp_path):
    gpu = benchmark_module("gpu")

    def half(run):
        run.row("something", [1.0, 3.0], "another", [2.0, 6.0])
        raise MemoryError("no more")

    monkeypatch.setattr(gpu, "PARTS", {"half": half, "whole": lambda run: run.row("more", [1.0])})
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick"])
    written = []
    monkeypatch.setattr(gpu, "report", lambda *args: written.append(args))
    gpu.main()
    [(name, title, rows, remarks)] = written
    assert (name, title.split(" (")[0]) == ("gpu_quick", "On the CPU")
    assert [(row["work"], row["ratio"]) for row in rows] == [("something", 2.0), ("more", None)]
    assert "MemoryError: no more" in remarks[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
@pytest.mark.skipif(torch.backends.mps.is_available(), reason="has a GPU")
@pytest.mark.parametrize(("more", "says"), [([], "No GPU"), (["--device", "cpu"], "add --quick")])
def test_the_gpu_benchmark_runs_nothing_without_a_gpu(benchmark_module, monkeypatch, more, says):
    gpu = benchmark_module("gpu")
    monkeypatch.setattr(sys, "argv", ["gpu.py", *more])
    with pytest.raises(SystemExit, match=says):
        gpu.main()


def test_deep_study_on_a_handful_of_digits(benchmark_module):
    deep = benchmark_module("_deep_clusters")
    sample = load_mnist_sample()
    estimator = DeepClusterEstimator(3, max_epochs=2, net_params={"module__width": 4})
    row = deep.cluster_digits(sample.images[:60], sample.target[:60], estimator, range(1))
    assert 0.2 < row["result"] <= 1
    assert row["nmi"].count("to") == 1


def test_network_on_filters(benchmark_module, photos):
    module = benchmark_module("_on_filters")
    learned = module.learned_filters(photos.images, n_filters=6)
    network = module.on_filters(learned)
    images = torch.rand(2, 3, 32, 32)
    assert network(images).shape == (2, 12, 7, 7)
    assert [p.shape[0] for p in network.parameters() if not p.requires_grad] == [6]
    expected = learned(images)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network[0](images), expected)


def test_probes_on_a_handful_of_digits(benchmark_module):
    probes = benchmark_module("_deep_probes")
    sample = load_mnist_sample()
    parts = [(a[:200], a[200:300]) for a in (sample.images, sample.target)]
    row = probes.few_labels(*parts[0], *parts[1], 1, [0])
    assert 0 <= row["result"] <= 1


def test_few_labels_on_a_handful_of_digits(benchmark_module):
    few = benchmark_module("_few_labels")
    images, digits = load_mnist_sample(return_X_y=True)
    chosen = few._labelled(digits[:300], 0)
    assert [len(index) for index in chosen.values()] == [10, 100, 300, 300]
    assert sorted(digits[chosen[10]]) == list(range(10))
    assert set(chosen[10]) < set(chosen[100]) < set(chosen[500])
    data = images[:300], images[300:500], digits[:300], digits[300:500]
    rows = few.dictionary("digits", data, range(1), quick=True)
    found = {row["by"]: row for row in rows}
    assert found["filters, ridge CV"]["100"] > 0.7
    assert found["filters, SVM"]["10"] is None
    assert {row["of"] for row in rows} == {"digits"}


def test_small_network_learns_from_labels_alone(benchmark_module):
    network = benchmark_module("_small_cnn").SmallCNN(80, width=8)
    images, digits = load_mnist_sample(return_X_y=True)
    before = torch.random.get_rng_state()
    network.fit(images[:300], digits[:300])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert network.score(images[300:600], digits[300:600]) > 0.5
    colours = load_cifar10_sample()
    network = network.set_params(n_steps=3, flip=True).fit(colours.images[:40], colours.target[:40])
    assert network.predict(colours.images[:12]).shape == (12,)


def test_epochs_of_the_speed_benchmark(benchmark_module):
    speed = benchmark_module("_deep_speed")
    ours, theirs = speed.epochs(load_mnist_sample().images[:120], "small", "cpu", 1)
    assert ours[0] > 0
    assert theirs[0] > 0
    fast, exact = speed.precisions(load_mnist_sample().images[:120], "small", 1)
    assert fast[0] > 0
    assert exact[0] > 0


def test_ridge_of_the_accuracy_benchmark(benchmark_module):
    linear = benchmark_module("_linear")
    X, y = make_classification(600, 20, n_informative=10, n_classes=3, class_sep=3, random_state=0)
    X = X.astype(np.float32)
    accuracy, penalty = linear.ridge_accuracy((X[:400], y[:400]), (X[400:], y[400:]))
    assert accuracy > 0.8
    assert penalty in linear.PENALTIES


def test_kernel_ridge_of_the_accuracy_benchmark(benchmark_module):
    """It is that of scikit-learn, with features a block of columns at a time."""
    linear = benchmark_module("_linear")
    X, X_test = np.split(np.random.RandomState(0).randn(300, 12).astype(np.float32), [240])
    y, y_test = (np.where(rows[:, 0] > 0, 2 + (rows[:, 1] > 0), 5) for rows in (X, X_test))
    kernel = linear.GaussianKernelRidge(width=2.0)
    for columns in (slice(5), slice(5, 12)):
        kernel.add(X[:, columns], X_test[:, columns], chunk=70)
    found, penalty = kernel.accuracy(y, y_test, (1000.0, 0.1), chunk=70)
    targets = np.where(y[:, None] == np.unique(y), 1.0, -1.0)
    theirs = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / (12 * 4))
    guess = theirs.fit(X, targets - targets.mean(0)).predict(X_test) + targets.mean(0)
    assert found == np.mean(np.unique(y)[guess.argmax(1)] == y_test) > 0.8
    assert penalty == 0.1


@pytest.mark.parametrize("block", [7, 100])
def test_coefficients_of_the_kernel_ridge(benchmark_module, block):
    rows = np.random.RandomState(0).randn(40, 60)
    kernel, targets = rows @ rows.T, np.random.RandomState(1).randn(40, 3)
    found = benchmark_module("_linear")._dual(np.tril(kernel), targets, 2.0, block=block)
    np.testing.assert_allclose(found, np.linalg.solve(kernel + 2 * np.eye(40), targets))


def test_stages_of_the_best(benchmark_module):
    best = benchmark_module("_best_cifar")
    assert {row[0] for row in best.ROWS} == set(best.TARGETS)
    rows = best.measured.func({5: 1, 6: 1}, (best.KERNEL, best.LINEAR), True, "now")
    assert [row["classifier"] for row in rows] == [best.KERNEL, best.LINEAR]
    for row in rows:
        assert row["features"] == 2 * 30 * 9
        assert row["accuracy"] > 0.3
        assert row["fit (s)"] == rows[0]["fit (s)"]
    assert "1,200 filters of 5x5 pixels" in best.remarks(rows)[0]
    assert not any("to reach" in remark for remark in best.remarks(rows))


def test_every_table_is_in_the_docs():
    results = ROOT / "benchmarks" / "results"
    tables = {path.name for path in results.glob("*.md") if "_quick" not in path.name}
    pages = [(ROOT / "docs" / name).read_text() for name in ("benchmarks.md", "guide/scale.md")]
    included = re.findall(r"benchmarks/results/(\w+\.md)", "".join(pages))
    assert set(included) == tables


def test_parts_of_the_speed_table(benchmark_module, tmp_path):
    """A benchmark that runs again alone leaves the rows of the others, and says when they ran."""
    speed = benchmark_module("speed")
    part = {"rows": [{"work": "a"}], "remarks": ["Of a."], "measured": "then, there"}
    parts = {"lloyd": part, "wide": part | {"measured": "now, here"}, "bag": part}
    rows, remarks = speed.joined(parts)
    assert len(rows) == 3
    assert remarks[-1].endswith("ran: then, there: lloyd, bag; now, here: wide.")
    path = tmp_path / "speed.json"
    assert speed.parts_of(path) == {}
    path.write_text(json.dumps({"parts": parts}))
    assert speed.parts_of(path) == parts


def test_revision_of_the_benchmarks(benchmark_module, monkeypatch):
    data = benchmark_module("_data")
    now = data.revision()
    assert data.revision() == now
    monkeypatch.setattr(data, "__file__", str(ROOT / "tests" / "naive.py"))
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: "changed")
    assert data.revision() != now


def test_report_writes_both_forms(benchmark_module, tmp_path, capsys):
    report = benchmark_module("_report")
    rows = [{"work": "a", "ratio": 2.0}, {"work": "b", "ratio": None}]
    report.report("name", "Title", rows, ["A remark."], folder=tmp_path)
    assert json.loads((tmp_path / "name.json").read_text())["rows"] == rows
    text = (tmp_path / "name.md").read_text()
    assert text in capsys.readouterr().out
    assert "| a    | 2     |" in text
    assert "- A remark." in text


def test_files_of_the_benchmark(benchmark_module, tmp_path):
    files = benchmark_module("_files")
    paths = files.photographs(tmp_path, 3)
    sizes = ImageFiles(paths).sizes
    assert sizes.shape == (3, 2)
    assert sizes.min() >= 100
    assert sizes.max() <= 200


def test_rows_of_the_benchmark_of_clusters(benchmark_module):
    clusters = benchmark_module("_clusters")
    images, _ = clusters.images_of("MNIST", quick=True)
    assert images.shape == (300, 28, 28)
    assert clusters.images_of("no such set") is None
    for method in ("pixels", "filters"):
        labels = clusters.METHODS[method](images[:60], 4, 0)
        assert set(labels) == {0, 1, 2, 3}
    one = dict.fromkeys(clusters.METHODS, 0.5)
    fits = [
        {"accuracy": a, "nmi": a, "cpu": 1.0, "members": {"words": 0.6, "sums": a - 0.1}}
        for a in (0.7, 0.8)
    ]
    row = clusters.row("clothes", len(images), 10, fits, one)
    assert row["members"] == pytest.approx(0.625)
    assert row["best member"] == pytest.approx(0.65)
    assert row["consensus"] == pytest.approx(0.75)
    assert clusters.mean_row([row, row | {"set": "MNIST", "consensus": 1.0}])["consensus"] == 0.75
    assert "12.5 points" in clusters.remarks([row])[0]


def test_rows_of_the_benchmark_of_the_number_of_clusters(benchmark_module):
    numbers = benchmark_module("_number_of_clusters")
    fit = {"chosen": 3, "n_clusters": [2, 3, 4], "agreement": [0.1, 0.9, 0.5], "cpu": 1.0}
    row = numbers.row_of("a", 20, 4, fit)
    assert (row["chosen"], row["agreement"], row["at classes"]) == (3, 0.9, 0.5)
    assert numbers.remarks([row])[0].startswith("On 0 of 1 sets")


RATES = {
    "device": "cpu",
    "threads": 2,
    "images decoded": 1000,
    "bytes of a JPEG": 20_000.0,
    "patches prepared": 100_000,
    "FLOP of k-means, patches": 1e11,
    "FLOP of k-means, embeddings": 1e11,
    "FLOP of encoding, stride 1": 1e11,
    "FLOP of encoding, stride 4": 1e11,
    "FLOP of an image in the network": 3.6e9,
    "FLOP of learning": 1e11,
    "FLOP of looking": 1e11,
}


def test_a_million_images_on_paper(benchmark_module):
    stages = benchmark_module("_scale_stages")
    sizes = {row["what"]: row["all"] for row in stages.sizes(RATES)}
    assert sizes["all patches, stride 1"] == "20.7 TB"  # 219 * 219 * 108 * 4 bytes, 10^6 times
    assert sizes["maps of codes, stride 1"] == "307 TB"
    assert sizes["pixels, uint8"] == "151 GB"
    assert sizes["10,000,000 drawn patches"] == "4.32 GB"
    found = {row["stage"]: row for row in stages.stages(RATES)}
    assert found["decode once"]["cores"] == 1000
    assert found["decode once"]["machine"] == pytest.approx(1000 / (16 * 0.8))
    encode = found["encode at stride 1"]
    assert encode["flop"] == 10**6 * 219**2 * 2 * 108 * 1600
    assert encode["cores"] == pytest.approx(165_753, rel=1e-5)
    assert encode["machines"] == pytest.approx(encode["machine"] / 6.8)
    assert encode["gpu"] == pytest.approx(encode["flop"] / (19.5e12 * 0.5))
    assert found["encode at stride 4"]["flop"] * 219**2 == encode["flop"] * 55**2
    kmeans = found["k-means of 400,000 patches"]
    assert kmeans["flop"] == 20 * 2 * 400_000 * 108 * 1600
    told = 20 * (0.05 + 3 * 8 * 4 * 1600 * 108 / 1.25e9)
    assert kmeans["machines"] == pytest.approx(kmeans["machine"] / 6.8 + told)
    assert found["network, an epoch of learning"]["flop"] == 3 * 3.6e15
    jobs = {row["stage"]: row for row in stages.totals(list(found.values()))}
    filters = jobs["all: filters, stride 1"]
    assert filters["cores"] == pytest.approx(
        1000 + found["k-means of 10,000,000 patches"]["cores"] + encode["cores"]
    )
    rows = stages.table(RATES)
    assert list(rows[0]) == ["stage", "FLOP", *stages.columns(RATES).values()]
    assert any("nothing was run on one" in remark for remark in stages.remarks(RATES))
    assert len(stages.rate_rows(RATES)) == 8


@pytest.mark.parametrize(
    ("seconds", "words"), [(1.234, "1.2 s"), (119, "119 s"), (120, "2 min"), (2e5, "2.31 days")]
)
def test_times_in_words(benchmark_module, seconds, words):
    assert benchmark_module("_scale_stages").duration(seconds) == words


def test_numbers_in_words(benchmark_module):
    words = benchmark_module("_scale_stages").in_words
    assert words(999, "B") == "999 B"
    assert words(20.7e12, "B") == "20.7 TB"
    assert words(1.23e18, "FLOP") == "1,230 PFLOP"


def test_growth_of_a_benchmark(benchmark_module, tmp_path):
    pytest.importorskip("zarr")
    pytest.importorskip("matplotlib")
    scale = benchmark_module("scale")
    growth = scale.growth
    growth.store(f"{tmp_path}/images.zarr", 300, 32)
    found = growth.work(str(tmp_path), 20)
    rows = []
    for factor in (1, 2, 4):
        for n in growth.THREADS:
            setting = {"images": 300 * factor, "filters": 20, "side": 32}
            rows.append(growth.row_of("images", setting, n, found))
            rows[-1]["transform (s)"] *= factor
    assert rows[0]["fit (s)"] > 0
    assert growth.exponents(rows, "images", "transform (s)", 1) == pytest.approx([1, 1])
    parts = {"images": rows, "rates": RATES, "many": [{"images": 2000, "fit (MiB)": 7}]}
    scale.write(parts, "", tmp_path, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000
    assert scale.parts_of(tmp_path, "") == parts
    text = (tmp_path / "scale_growth.md").read_text()
    assert "transform 1.00 (1 thread)" in text
    assert "7 MiB for 2,000" in text
    assert "| stage " in (tmp_path / "scale_stages.md").read_text()


def test_dictionaries_on_new_patches(benchmark_module, photos):
    patches = benchmark_module("_number_of_patches")
    learner = KMeansFilterLearner(30, n_patches=3000, max_iter=5, random_state=0)
    errors = [
        patches.error_of_new(
            learner.set_params(n_filters=k).fit(photos.images), photos.images, 1000
        )
        for k in (1, 30)
    ]
    assert errors[0] == pytest.approx(1, abs=0.05)  # one center is the mean
    assert 0.5 < errors[1] < errors[0]
    row = patches.row_of(3200, np.array([[0.5, 0.6], [0.7, 0.8]]))
    assert row["of a filter"] == 2
    assert row["error of new patches"] == 0.6
    assert row["accuracy"] == 0.7
    assert row["of each seed"] == "0.6000 0.8000"
