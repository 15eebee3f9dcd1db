#!/usr/bin/env bash
# Builds the documentation in build/docs, from the headers and the pages; any warning is an error. Then checks it.
# On Debian and Ubuntu it installs what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/install_missing.sh
install_missing doxygen python3

rm -rf build/docs
mkdir -p build/docs
# What a class or header is, before the list of its members.
doxygen -l build/docs/layout.xml
sed -i -e '/<detaileddescription/d' -e '/<briefdescription/a <detaileddescription title=""/>' build/docs/layout.xml
doxygen docs/site/Doxyfile
cp docs/figures/*.svg examples/train_transformer/*.svg build/docs/
python3 docs/check.py build/docs
echo "-- build/docs/index.html"
