"""Size, memory and speed of teacher and student: what is counted, and that they take turns."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from distil.core.errors import UserError
from distil.evaluation.footprint import BATCH, FootprintConfig, measure, measure_speed, texts_of
from distil.modeling.shape import count_parameters
from distil.modeling.xlm_roberta import load_masked_lm

CONFIG = FootprintConfig(threads=1, rounds=3, short_words=2, long_words=6)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Text of two languages."""
    for code, lines in {"swa": "a b c\nd e\n", "yor": "v w x y z\n"}.items():
        (tmp_path / f"{code}.txt").write_text(lines, encoding="utf-8")
    return {code: tmp_path / f"{code}.txt" for code in ("swa", "yor")}


def test_texts_are_words_of_the_languages_in_turn_and_begin_again_at_the_end(files: dict[str, Path]) -> None:
    assert texts_of(files, 2, 6) == ["a b", "v w", "c d", "x y", "e a", "z v"]


def test_a_language_without_text_is_refused(files: dict[str, Path]) -> None:
    files["yor"].write_text("")
    with pytest.raises(UserError, match="expected text of yor, found none; run `dvc repro --force corpus`"):
        texts_of(files, 2, 6)


def test_models_take_turns_and_figures_are_medians_of_the_rounds(files: dict[str, Path]) -> None:
    calls: list[tuple[str, int]] = []

    def ask(name: str, seconds: list[float]):
        def answer(order: str, content) -> tuple[float, int]:
            batches, _ = content
            calls.append((name, len(batches)))
            return seconds[len([call for call in calls if call[0] == name]) % len(seconds)], 40

        return answer

    found = measure_speed({"teacher": ask("teacher", [0.4]), "student": ask("student", [0.1])}, files, CONFIG)
    timed = calls[8:]  # after a first pass of each model and case
    assert len(timed) == 2 * 4 * CONFIG.rounds
    assert all(one[0] != other[0] for one, other in pairwise(timed))
    # 32 texts in 0.4 s and 0.1 s; two texts one by one in the same times; 40 tokens in each pass
    assert found["teacher"]["long"] == {
        "tokens": 20.0, "milliseconds": 200.0, "tokens_per_second": 100, "texts_per_second": BATCH / 0.4,
    }  # fmt: skip
    assert found["student"]["short"]["milliseconds"] == 50.0


def test_both_models_are_measured_in_processes_of_their_own(world: Path) -> None:
    files = {code: world / f"data/raw/{code}.txt" for code in ("swa", "yor")}
    folder = world / "models/teacher"
    found = measure({"teacher": folder, "student": folder}, files, CONFIG)
    teacher = found["models"]["teacher"]
    assert {name: teacher[name] for name in count_parameters(load_masked_lm(folder, None))} == count_parameters(
        load_masked_lm(folder, None)
    )
    weights = (folder / "model.safetensors").stat().st_size
    assert weights < teacher["disk_bytes"] < weights + 10**6
    assert 10 < teacher["empty_memory_mib"] <= teacher["peak_memory_mib"] <= teacher["empty_memory_mib"] + 2000
    assert teacher["short"]["tokens"] == found["models"]["student"]["short"]["tokens"] > 2
    assert teacher["long"]["tokens"] > teacher["short"]["tokens"]
    assert all(each[length][name] > 0 for each in found["models"].values() for length in ("short", "long")
               for name in ("milliseconds", "tokens_per_second", "texts_per_second"))  # fmt: skip


def test_a_model_that_does_not_load_ends_the_measurement_with_its_reason(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "models/teacher", tmp_path / "broken")
    (tmp_path / "broken/model.safetensors").unlink()
    files = {"swa": world / "data/raw/swa.txt"}
    with pytest.raises(UserError, match=r"expected weights in model.safetensors.*dvc repro --force distil"):
        measure({"student": tmp_path / "broken"}, files, CONFIG)
