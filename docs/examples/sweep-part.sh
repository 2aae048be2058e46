#!/bin/bash
# This machine's part of a sweep whose machines share a git remote and a DVC remote (docs/guides/sweeps.md).
#   docs/examples/sweep-part.sh NUMBER MACHINES          NUMBER from 0; run it in a clone of its own, with the environment on PATH
# Experiment number i of the grid belongs to machine i modulo MACHINES. What is on the remote already is left out, so the
# same command goes on after an interruption. For all results in one MLflow, set MLFLOW_TRACKING_URI to a server.
set -euo pipefail

if [[ $# -ne 2 || ! "$1" =~ ^[0-9]+$ || ! "$2" =~ ^[1-9][0-9]*$ || "$1" -ge "$2" ]]; then
  echo "usage: $0 NUMBER MACHINES, with NUMBER from 0 to MACHINES - 1" >&2
  exit 1
fi
number=$1 machines=$2

# The grid: a name and its values for `dvc exp run -S`. Change these lines, or give a file of such lines in SWEEP_GRID.
grid=$(cat "${SWEEP_GRID:-/dev/stdin}" <<'GRID'
alpha-0.2-temperature-1 loss.alpha=0.2 loss.temperature=1
alpha-0.2-temperature-4 loss.alpha=0.2 loss.temperature=4
alpha-0.8-temperature-1 loss.alpha=0.8 loss.temperature=1
alpha-0.8-temperature-4 loss.alpha=0.8 loss.temperature=4
GRID
)

if [[ -n "$(git status --porcelain --untracked-files=no)" ]]; then
  echo "$0: this clone has uncommitted changes; use one of its own for the sweep" >&2
  exit 1
fi
# The teacher's cache comes from the remote, so nothing in front of `distil` runs.
dvc pull < /dev/null
done_already=$(dvc exp list origin --all-commits --name-only)
line=0
while read -r name values; do
  if (( line++ % machines != number )); then
    continue
  fi
  if grep -qxF "${name}" <<< "${done_already}"; then
    echo "${name}: on the remote already"
    continue
  fi
  set=()
  for value in ${values}; do
    set+=(-S "${value}")
  done
  # Back to the commit: an experiment leaves its params in the workspace.
  git checkout --quiet -- .
  dvc exp run --pull --name "${name}" "${set[@]}" < /dev/null
  dvc exp push origin "${name}" < /dev/null
done <<< "${grid}"
git checkout --quiet -- .
