"""The key of a training: everything that decides the student, as one checksum."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from distil.cache.format import TeacherCache
from distil.core.files import sha256_file, sha256_json
from distil.modeling.tokenizer import read_manifest
from distil.training.text_only import TextOnlyDataset


def training_key(
    params: Mapping[str, Any],
    sources: Sequence[TeacherCache | TextOnlyDataset],
    tokenizer: Path,
    code: Mapping[str, str],
) -> str:
    """What decides the student, as one sha256: two trainings with the same key give the same student.

    Args:
        params: the sections that the training reads.
        sources: their manifests name the text and, with a teacher, everything cached, by checksum.
        tokenizer: models/tokenizer.
        code: the checksums of the files whose text decides the result (`core.pipeline.code_checksums`).
    """
    caches = [source for source in sources if isinstance(source, TeacherCache)]
    return sha256_json(
        {
            "params": params,
            "caches": [sha256_file(cache.folder / "manifest.json") for cache in caches],
            "prepared": [sha256_file(source.prepared.folder / "manifest.json") for source in sources],
            "tokenizer": sha256_json(read_manifest(tokenizer)),
            "code": dict(code),
            "torch": torch.__version__,
        }
    )
