"""Several adapted teachers as one: taken where held-out text is predicted better, else the best of those given."""

import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from distil.core.errors import UserError
from distil.modeling.xlm_roberta import load_masked_lm
from distil.teacher.adaptation import measure, read_texts
from distil.teacher.merge_methods import merge
from distil.teacher.merging import _put
from tests.support import toy
from tests.teacher.test_adaptation import ADAPT, config, fetch

LINEAR: dict[str, Any] = {"method": "linear", "path": "experts"}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """The toy world with two teachers adapted from `given`, one language each; read only but for new folders."""
    root = Path(shutil.copytree(world, tmp_path_factory.mktemp("merging") / "world"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        shutil.copytree("models/teacher", "given")
        for code in toy.LANGUAGES:
            fetch(f"experts/{code}", [code], adapt={"steps": 25})
    return root


@pytest.fixture
def here(room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the room that a test may damage."""
    monkeypatch.chdir(shutil.copytree(room, tmp_path / "room"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path / "room"


def weights(folder: str) -> dict[str, torch.Tensor]:
    return dict(load_masked_lm(Path(folder), None).named_parameters())


def put_in_order(found: dict[str, Any]) -> list[float]:
    """Mean held-out loss of the base, of the best model alone and of the merged one."""
    losses = found["masked_lm"]
    means = [fmean(each.values()) for each in (losses["base"], *losses["models"].values(), losses["merged"])]
    return [means[0], min(means[1:-1]), means[-1]]


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "dare"])
def test_the_merged_weights_of_each_method_are_measured_and_taken_where_they_predict_better(
    here: Path, method: str
) -> None:
    made = fetch("out", merge=LINEAR | {"method": method, "density": 0.9}, adapt={"steps": 0})
    assert made["merged"]["method"] == method and made["adapted"] is None
    base, experts = weights("given"), [weights(f"experts/{code}") for code in sorted(toy.LANGUAGES)]
    together = merge(method, experts, base, 0.9, 1)  # type: ignore[arg-type]
    model = load_masked_lm(Path("given"), None)
    _put(model, together)
    texts = read_texts(toy.LANGUAGES, ADAPT, 64, "")
    losses = {code: nats for code, (nats, _) in measure(model, Path("given"), texts.heldout, ADAPT, 1).items()}
    assert made["merged"]["masked_lm"]["merged"] == pytest.approx(losses, abs=1e-4)
    _, alone, merged = put_in_order(made["merged"])
    assert (made["merged"]["kept"] == ["swa", "yor"]) == (merged < alone)
    assert torch.equal(weights("out")["lm_head.bias"], together["lm_head.bias"]) == (merged < alone)


def test_losses_are_recorded_by_language(here: Path) -> None:
    found = fetch("out", merge=LINEAR, adapt={"steps": 0})["merged"]
    base, alone, merged = put_in_order(found)
    assert merged < alone < base and found["kept"] == ["swa", "yor"]
    assert set(found["masked_lm"]["merged"]) == set(toy.LANGUAGES) == set(found["masked_lm"]["models"])


def test_a_merged_model_that_predicts_worse_is_not_taken(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.teacher import merging

    def spoilt(*given: Any) -> dict[str, torch.Tensor]:
        return {name: tensor * 3 for name, tensor in given[1][0].items()}

    monkeypatch.setattr(merging, "merge", spoilt)
    found = fetch("out", merge=LINEAR, adapt={"steps": 0})["merged"]
    _, alone, merged = put_in_order(found)
    assert merged > alone and len(found["kept"]) == 1
    best = found["kept"][0]
    assert alone == pytest.approx(fmean(found["masked_lm"]["models"][best].values()))
    for name, tensor in weights("out").items():
        assert torch.equal(tensor, weights(f"experts/{best}")[name]), name


def test_the_base_stays_where_all_others_predict_worse(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.teacher import merging

    shutil.copytree("experts/swa", "better")
    monkeypatch.setattr(merging, "merge", lambda *given: {name: tensor * 3 for name, tensor in given[2].items()})
    for code in toy.LANGUAGES:
        model = load_masked_lm(Path(f"experts/{code}"), None)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3)
        model.save_pretrained(f"experts/{code}")
        Path(f"experts/{code}/checksums.json").unlink(missing_ok=True)
    found = fetch("out", path="better", merge=LINEAR, adapt={"steps": 0})["merged"]
    assert found["kept"] == []
    assert all(torch.equal(tensor, weights("better")[name]) for name, tensor in weights("out").items())


def test_an_adaptation_starts_from_the_merged_weights(here: Path) -> None:
    merged = fetch("merged", merge=LINEAR, adapt={"steps": 0})
    adapted = fetch("adapted", merge=LINEAR, adapt={"steps": 10})
    assert adapted["merged"] == merged["merged"]
    for code, figures in adapted["adapted"]["languages"].items():
        assert figures["masked_lm_before"] == merged["merged"]["masked_lm"]["merged"][code]
        assert figures["masked_lm_after"] < figures["masked_lm_before"]


def test_merging_gives_the_same_bytes_again_and_none_leaves_no_trace(here: Path) -> None:
    for name in ("a", "b"):
        fetch(name, merge=LINEAR | {"method": "dare"}, adapt={"steps": 0})
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()
    plain = fetch("plain", merge={"method": "none", "path": "experts"}, adapt={"steps": 0})
    assert "merged" not in plain
    assert Path("plain/model.safetensors").read_bytes() == Path("given/model.safetensors").read_bytes()


# Refused.


def test_fewer_than_two_models_are_refused(here: Path) -> None:
    for change, count in ((None, 0), ("experts/yor", 1)):
        path = "nowhere" if change is None else "experts"
        if change:
            shutil.rmtree(change)
        message = rf"teacher\.merge\.path: {path}: expected 2 or more folders of models .* found {count}; put"
        with pytest.raises(UserError, match=message):
            fetch("out" + str(count), merge=LINEAR | {"path": path}, adapt={"steps": 0})


def test_a_model_of_another_shape_or_vocabulary_is_refused_by_name(here: Path) -> None:
    shutil.copytree(here / "data", "other/data")
    toy.make_teacher(Path("other"), pieces=180)
    shutil.copytree("other/models/teacher", "experts/zzz")
    with pytest.raises(UserError, match=r"experts/zzz/tokenizer\.json: expected the pieces of the teacher, found oth"):
        fetch("one", merge=LINEAR, adapt={"steps": 0})
    shutil.copyfile("given/tokenizer.json", "experts/zzz/tokenizer.json")
    Path("experts/zzz/checksums.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"experts/zzz: lm_head\.bias: expected a tensor of shape \(200,\) as the"):
        fetch("two", merge=LINEAR, adapt={"steps": 0})


def test_merging_without_text_to_measure_on_is_refused(here: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/swa\.txt: no such file; .* or set teacher\.merge\.method to none"):
        fetch("out", merge=LINEAR, adapt={"steps": 0, "text": "nowhere"})


def test_a_teacher_trained_here_is_not_merged() -> None:
    with pytest.raises(ValueError, match=r"merge\.method is linear with source train: expected none"):
        config(source="train", merge=LINEAR, adapt={"steps": 0})
