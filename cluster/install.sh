#!/bin/sh
# Installs the wheel of rbt_ray from dist/ next to this script, with the versions in constraints.txt, into venv/ next to
# it, and adds that to PATH. Run it again to apply changes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

test -x "$here/uv/bin/uv" || {
    python3 -m venv "$here/uv"
    "$here/uv/bin/python" -m pip install --quiet --constraint "$here/constraints.txt" uv
}
# The extra `hpbandster` requires netifaces, which needs a C compiler and is never used here.
echo "netifaces; sys_platform == 'never'" >"$here/override.txt"
# Ray needs the same Python on all hosts; uv downloads it if the host does not have it.
test -x "$here/venv/bin/python" || "$here/uv/bin/uv" venv --quiet --python 3.12 "$here/venv"
wheel=$(ls -t "$here"/dist/rbt_ray-*.whl | head -n 1)
"$here/uv/bin/uv" pip install --quiet --python "$here/venv" --compile-bytecode --constraint "$here/constraints.txt" \
    --override "$here/override.txt" --reinstall-package rbt-ray "rbt-ray[cluster,hpbandster] @ file://$wheel"
"$here/venv/bin/python" -m rbt_ray.objectives.compile

line="export PATH=\"$here/venv/bin:\$PATH\" RAY_AUTH_MODE=token"
grep -qsxF "$line" "$HOME/.bashrc" || echo "$line" >>"$HOME/.bashrc"
