"""Several teachers as one: the cache holds their mixture, weighted in each language by held-out loss."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load

from distil.cache.format import TeacherCache
from distil.core.errors import UserError
from distil.core.mixture import least_loss_weights
from distil.core.params import NO_FOLDER
from distil.modeling.xlm_roberta import load_masked_lm
from distil.tokenization.shards import TokenizedDataset, masked_input
from stages import cache_teacher
from tests.support import toy


@pytest.fixture
def here(own_world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy world, entered, with another random teacher in others/second."""
    monkeypatch.chdir(own_world)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(cache_teacher, "code_checksums", lambda _: {})
    shutil.copytree("models/teacher", "others/second")
    model = load_masked_lm(Path("models/teacher"), None)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained("others/second")
    return own_world


def cache(**values: Any) -> dict[str, Any]:
    """Run the stage with these settings; returns metrics/cost/cache_teacher.json."""
    section = toy.CACHE.model_dump(mode="json") | {"logits": "full", "attention_layers": []} | values
    Path("params.yaml").write_text(yaml.safe_dump({"languages": toy.LANGUAGES, "seed": 1, "cache_teacher": section}))
    cache_teacher.main()
    return json.loads(Path("metrics/cost/cache_teacher.json").read_text())


def opened(language: str) -> TeacherCache:
    return TeacherCache(Path("data/teacher") / language, TokenizedDataset(Path("data/prepared") / language))


def by_transformers(folder: str, ids: np.ndarray) -> torch.Tensor:
    """(T, V) log-probabilities of a whole model on one sequence."""
    with torch.inference_mode():
        return load_masked_lm(Path(folder), None)(torch.from_numpy(ids)[None]).logits[0].log_softmax(-1)


@pytest.mark.parametrize("form", ["full", "sampled"])
def test_the_cache_holds_the_weighted_mean_of_the_distributions(here: Path, form: str) -> None:
    cost = cache(ensemble="others", logits=form)
    for language in toy.LANGUAGES:
        weights = cost["mixture"][language]["weights"]
        data = opened(language)
        assert data.manifest["mixture"] == weights and set(weights) == {"teacher", "second"}
        assert list(data.manifest["ensemble"]) == ["second"]
        shard, cached = data.open("train", 0)
        batch = masked_input(shard, np.array([3]), np.array([1]), 1)
        teacher, second = (
            by_transformers(folder, batch.input_ids[0]) for folder in ("models/teacher", "others/second")
        )
        mixed = weights["teacher"] * teacher.exp() + weights["second"] * second.exp()
        ids, kept, _ = cached.logits(batch.cached_rows)
        assert ids.shape[1] == (200 if form == "full" else 12)
        expected = mixed.log()[batch.masked_position].gather(1, torch.tensor(ids))
        torch.testing.assert_close(torch.tensor(kept), expected, atol=0.02, rtol=0.01)  # to the rounding of the codes


def test_each_language_takes_the_weights_of_least_held_out_loss(here: Path) -> None:
    for found in cache(ensemble="others")["mixture"].values():
        losses = found["heldout_loss"]
        assert losses["together"] <= min(losses["teacher"], losses["second"]) + 1e-6
        assert (losses["teacher"] < losses["second"]) == (found["weights"]["teacher"] > found["weights"]["second"])


def test_a_copy_of_the_teacher_changes_no_distribution_and_none_no_byte(here: Path) -> None:
    cache()
    alone = {path.name: path.read_bytes() for path in Path("data/teacher/swa").iterdir()}
    assert "mixture" not in json.loads(alone["manifest.json"]) and "ensemble" not in json.loads(alone["manifest.json"])
    shutil.rmtree("others/second")
    shutil.copytree("models/teacher", "others/twin")
    cost = cache(ensemble="others")
    assert cost["mixture"]["swa"]["weights"] == {"teacher": 0.5, "twin": 0.5}
    _, cached = opened("swa").open("train", 0)
    rows = np.arange(50)
    before = load(alone["train-00000.safetensors"])["logit_full"]
    np.testing.assert_allclose(cached.logits(rows)[1], before[rows], atol=0.01)


def test_another_ensemble_is_another_cache(here: Path) -> None:
    cache(ensemble="others")
    before = Path("data/teacher/swa/train-00000.safetensors").read_bytes()
    shutil.copytree("models/teacher", "others/third")
    weights = cache(ensemble="others")["mixture"]["swa"]["weights"]
    assert set(weights) == {"teacher", "second", "third"} and sum(weights.values()) == pytest.approx(1, abs=1e-5)
    assert Path("data/teacher/swa/train-00000.safetensors").read_bytes() != before


def test_shards_of_an_earlier_run_have_no_rate(here: Path) -> None:
    first, again = cache(), cache()
    assert first["tokens_per_second"] > 0 and "tokens_per_second" not in again
    assert first["bytes"] == again["bytes"]


def test_weights_are_those_of_least_loss() -> None:
    rng = np.random.default_rng(3)
    good = rng.random(2000) < 0.7
    true = np.log(np.stack([np.where(good, 0.8, 0.1), np.where(good, 0.1, 0.8)]))
    weights = least_loss_weights(true)
    losses = {share: -np.logaddexp.reduce(true + np.log([[share], [1 - share]])).mean() for share in (0.3, 0.5, 0.9)}
    assert weights.sum() == pytest.approx(1) and weights[0] > 0.5
    assert -np.logaddexp.reduce(true + np.log(weights)[:, None]).mean() < min(losses.values())
    assert least_loss_weights(np.zeros((3, 0))).tolist() == pytest.approx([1 / 3] * 3)


def other_pieces(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"][-2][0] = "▁another"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def fewer_positions(folder: Path) -> None:
    model = load_masked_lm(folder, None)
    embeddings = model.roberta.embeddings.position_embeddings
    embeddings.weight = torch.nn.Parameter(embeddings.weight[:20].clone())
    model.config.max_position_embeddings = 20
    model.save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_pieces, r"others/second/tokenizer.json: expected the pieces of the teacher, found others"),
        (fewer_positions, r"others/second: expected a model that reads 24 tokens.*found 18; .*max_length to 18"),
        (shutil.rmtree, r"ensemble: others: expected 1 or more folders of models.*found 0; .*distil/lexicons for none"),
        (lambda folder: folder.rename("others/teacher"), r"others/teacher: 'teacher' is the name of models/teacher"),
    ],
)
def test_models_that_cannot_be_mixed_are_refused(here: Path, damage: Any, message: str) -> None:
    damage(Path("others/second"))
    with pytest.raises(UserError, match=message):
        cache(ensemble="others")


@pytest.mark.parametrize("form", ["hidden", "hidden4"])
def test_states_of_one_model_cannot_stand_for_several(here: Path, form: str) -> None:
    with pytest.raises(UserError, match=rf"ensemble others with logits {form}: expected sampled, top_k or full"):
        cache(ensemble="others", logits=form)


def test_none_is_none(here: Path) -> None:
    assert "mixture" not in cache(ensemble=NO_FOLDER)
