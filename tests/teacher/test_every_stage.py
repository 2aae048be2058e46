"""A teacher of 2022 and its safetensors twin through every stage: the same bytes of all that is made."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.faults.pipeline import STEPS, Zygote, contents, make_root
from tests.support.checkpoints import as_of_2022, stored_by_torch, weights_of


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.mark.slow
def test_a_teacher_of_2022_goes_through_every_stage_like_its_safetensors_twin(zygote: Zygote, tmp_path: Path) -> None:
    first, *rest = STEPS
    corpus, teacher, *later = rest
    source = make_root(tmp_path / "source")
    for step in (first, corpus, teacher):
        zygote.run(source, step.name)
    roots = []
    for form in ("old", "new"):
        root = make_root(tmp_path / form, **{"teacher.source": "folder", "teacher.path": "given"})
        as_of_2022(source / "models/teacher", root / "given")
        if form == "old":
            torch.save(stored_by_torch(weights_of(source / "models/teacher")), root / "given/pytorch_model.bin")
        else:
            shutil.copyfile(source / "models/teacher/model.safetensors", root / "given/model.safetensors")
        for folder in ("data/tasks", "data/raw"):
            shutil.copytree(source / folder, root / folder)
        said = [zygote.run(root, step.name) for step in (teacher, *later)]
        assert ("pytorch_model.bin (sha256 " in said[0]) == (form == "old")
        roots.append(root)
    outs = [out for step in STEPS for out in step.outs]
    old, new = (contents(root, outs) for root in roots)
    assert old.keys() == new.keys() and len(old) > 60
    differ = [name for name in old if old[name] != new[name]]
    assert differ == ["models/teacher/checksums.json", "models/teacher/manifest.json"]
