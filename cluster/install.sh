#!/bin/sh
# Installs the wheel of rbt_ray that lies in dist/ beside this script, with the versions of constraints.txt, into venv/
# beside it, and puts that on PATH. Run again, it changes what changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

test -x "$here/uv/bin/uv" || {
    python3 -m venv "$here/uv"
    "$here/uv/bin/python" -m pip install --quiet --constraint "$here/constraints.txt" uv
}
# hpbandster asks for netifaces, which needs a C compiler and which nothing here uses.
echo "netifaces; sys_platform == 'never'" >"$here/override.txt"
# Ray wants the same Python on all hosts; uv fetches this one where the host has none.
test -x "$here/venv/bin/python" || "$here/uv/bin/uv" venv --quiet --python 3.12 "$here/venv"
wheel=$(ls -t "$here"/dist/rbt_ray-*.whl | head -n 1)
"$here/uv/bin/uv" pip install --quiet --python "$here/venv" --compile-bytecode --constraint "$here/constraints.txt" \
    --override "$here/override.txt" --reinstall-package rbt-ray "rbt-ray[cluster] @ file://$wheel"
"$here/venv/bin/python" -m rbt_ray.objectives.compile

line="export PATH=\"$here/venv/bin:\$PATH\" RAY_AUTH_MODE=token"
grep -qsxF "$line" "$HOME/.bashrc" || echo "$line" >>"$HOME/.bashrc"
