"""The pictures of the pipeline are those of dvc.yaml."""

from pathlib import Path

import pytest

from benchmarks import diagrams

ROOT = Path(__file__).parents[2]


def test_an_arrow_that_a_longer_way_says_is_left_out() -> None:
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert diagrams.reduce(edges) == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}


def test_an_arrow_leads_from_a_stage_to_those_that_read_its_outputs() -> None:
    edges = diagrams.read_stages(ROOT / "dvc.yaml")
    assert {"distil", "cache_teacher", "finetune_teacher"} <= edges["teacher"]
    assert {"baselines", "corpus", "evaluate"} <= edges["tasks"] and edges["track"] == set()
    assert set(edges) == set(diagrams.STAGE_PLACES)
    assert all(diagrams.STAGE_PLACES[name][1] < diagrams.STAGE_PLACES[end][1] for name in edges for end in edges[name])


def test_the_committed_pictures_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(diagrams, "IMAGES", tmp_path)
    diagrams.main()
    made = sorted(tmp_path.iterdir())
    assert len(made) == 4
    for path in made:
        assert path.read_bytes() == (ROOT / "docs/images" / path.name).read_bytes(), "python -m benchmarks.diagrams"
