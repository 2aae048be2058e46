"""A model's folder from the Hub, file by file: its config is looked at before gigabytes of weights are fetched."""

import glob
from collections.abc import Callable, Sequence
from pathlib import Path

from distil.modeling.weight_files import INDEX, PICKLED, SAFETENSORS, read_index
from distil.sources.hub import hub_snapshot


def fetch_model(
    name: str, revision: str, others: Sequence[str], check: Callable[[Path], object], advice: str, section: str
) -> Path:
    """A folder in the hub's own cache with a model's config, weights and other files; named for its commit.

    Pickled weights are fetched only where the commit has no safetensors.

    Args:
        name: the model's id.
        revision: commit, tag or branch.
        others: files that are wanted beside config.json and the weights, where they are there.
        check: raises UserError at a folder whose config.json is of no use.
        advice: ends an error about an index of shards.
        section: of params.yaml that names the model.

    Returns:
        The folder; one without weights where the commit has none that torch can read.

    Raises:
        UserError: see `hub_snapshot`.
    """
    config = hub_snapshot(name, revision, ["config.json"], section)
    check(config)
    commit = config.name
    folder = hub_snapshot(name, commit, list(others), section)
    for file in (SAFETENSORS, PICKLED):
        folder = hub_snapshot(name, commit, [file, f"{file}{INDEX}"], section)
        if (folder / file).is_file():
            break
        if (index := folder / f"{file}{INDEX}").is_file():
            shards = [glob.escape(shard) for shard in read_index(index, advice)]
            return hub_snapshot(name, commit, shards, section)
    return folder
