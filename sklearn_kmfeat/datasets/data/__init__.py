"""The samples that come with the package: files that `sklearn_kmfeat.datasets` reads."""
