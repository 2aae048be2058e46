"""The rehearsal's teacher and text are what the stages expect, and a run goes on where an earlier one ended."""

import json
from pathlib import Path

import pytest
from transformers import XLMRobertaTokenizer

from benchmarks import rehearsal
from benchmarks.stage_runs import name_of, stages
from tests.support.standin_hub import StandinHub


def test_the_tokenizer_has_as_many_pieces_as_asked_for_and_one_for_each_word(tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(rehearsal.sentencepiece_model(4000))
    tokenizer = XLMRobertaTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == 4000
    (line,) = rehearsal.lines(1, 4000, seed=1)
    assert tokenizer.tokenize(line) == [f"▁{word}" for word in line.split()]
    assert len(line) < 2000  # corpus.max_characters


def test_made_up_words_are_all_different() -> None:
    assert len(set(rehearsal.words(250_002))) == 250_002


def test_the_stages_of_a_task_are_named_as_their_costs() -> None:
    names = [name_of(*run) for run in stages(["sentiment"])]
    assert names[0] == "tasks-sentiment" and names[-1] == "report"
    assert {"finetune_teacher-sentiment", "mix_teachers-sentiment", "no_teacher", "export"} <= set(names)


def test_a_run_that_ended_early_goes_on_behind_its_last_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def command(project: Path, words: list[str], threads: int, **environment: str) -> int:
        ran.append(words[0])
        if words[0] == "stages.vocabulary" and len(ran) < 6:
            raise SystemExit("error: killed")
        return 7 * 2**20

    monkeypatch.setattr(rehearsal, "command", command)
    with StandinHub() as hub:
        with pytest.raises(SystemExit):
            rehearsal.rehearse(tmp_path, hub, 1)
        assert ran == [f"stages.{stage}" for stage in ("tasks", "tasks", "corpus", "teacher", "vocabulary")]
        found = rehearsal.rehearse(tmp_path, hub, 1)
    assert ran[5] == "stages.vocabulary" and ran.count("stages.teacher") == 1
    assert found["teacher"]["peak_mib"] == 7 and list(found)[-1] == "track"
    assert json.loads((tmp_path / "rehearsal.json").read_text(encoding="utf-8")) == found
