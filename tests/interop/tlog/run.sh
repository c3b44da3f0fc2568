#!/usr/bin/env bash
# run.sh DIRECTORY VKEY: has an independent Go program verify an exported log.
# Exit 0: verified. 1: not verified. 77: skipped, because Go or its pinned module is not there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ $# -ne 2 ]]; then
  echo "usage: run.sh DIRECTORY VKEY" >&2
  exit 2
fi
if ! command -v go >/dev/null; then
  echo "[skip] no Go toolchain" >&2
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! (cd "$here" && GOTOOLCHAIN=local go build -o "$work/verify" .) 2>"$work/build.log"; then
  echo "[skip] the verifier was not built:" >&2
  cat "$work/build.log" >&2
  exit 77
fi
"$work/verify" "$1" "$2"
