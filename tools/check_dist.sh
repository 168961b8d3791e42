#!/usr/bin/env bash
# Build sdist and wheel of what is in git into the folder DIST: no warnings, every file, nothing else.
#     tools/check_dist.sh DIST [PYTHON]
set -euo pipefail
dist=$1 python=${2:-python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The wheel is built from the sdist, and that from a copy: nothing that was made here gets in.
git archive --format=tar --prefix=source/ HEAD | tar -x -C "$scratch"
env -u PYTHONDONTWRITEBYTECODE "$python" -m build --outdir "$dist" "$scratch/source" \
    > "$scratch/build.log" 2>&1 || { cat "$scratch/build.log"; exit 1; }
# MANIFEST.in leaves out what is not there in a fresh copy: that is no fault.
if grep -iE '(^|[[:space:]])[a-z]*warning:|^ *!!' "$scratch/build.log" |
    grep -v 'no previously-included'; then
    echo "the build warns"
    exit 1
fi
"$python" -m twine check --strict "$dist"/*
"$python" -m zipfile --extract "$dist"/*.whl "$scratch/site"
diff <(git ls-files sklearn_kmfeat | sort) \
    <(cd "$scratch/site" && find sklearn_kmfeat -type f | sort)
diff <(git ls-files | sort) \
    <(tar -tzf "$dist"/*.tar.gz | cut -d/ -f2- | grep -vE '/$|^$|egg-info|^PKG-INFO' | sort)
