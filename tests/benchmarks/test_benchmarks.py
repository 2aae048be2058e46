"""What the benchmarks compare runs, trains, and says what it ran on; their figures are no matter of tests."""

import json
import re
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import first_run, gpu, scale_sim, step, steps, sweep
from benchmarks.cache_speed import LOSS
from benchmarks.machine import clock, finish, machine, plain_parser
from benchmarks.memory import repeated
from distil.compute.precision import Precision
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import SpecialTokenIds, teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.student.model import StudentConfig
from distil.tokenization.shards import TokenizedDataset
from distil.training.objective import Objective
from tests.support import toy

PIECES = 200


def model(layers: int = 2):
    torch.manual_seed(0)
    shape = StudentConfig.model_validate(toy.SHAPE.model_dump() | {"num_hidden_layers": layers, "dropout": 0.0})
    return build_masked_lm(shape.shape, SpecialTokenIds(bos=0, pad=1, eos=2, unk=3, mask=4), PIECES, 140)


@pytest.mark.parametrize("kind", ["from_cache", "plain_masked_lm", "lean_online", "online"])
def test_every_kind_of_step_trains_the_student(kind: str) -> None:
    student = model()
    batch = step.random_batch(PIECES, 2)
    work = {
        "from_cache": lambda: steps.from_cache(student, Objective(student, step.bare_cache(PIECES), LOSS, step.LAYERS)),
        "plain_masked_lm": lambda: steps.plain_masked_lm(student),
        "lean_online": lambda: steps.lean_online(student, model(3), None),
        "online": lambda: steps.online(student, model(3), torch.arange(PIECES)),
    }[kind]()
    watched = student.roberta.embeddings.word_embeddings, student.roberta.encoder.layer[0].output.dense
    before = [module.weight.detach().clone() for module in watched]
    work(batch)
    assert all(not torch.equal(module.weight, old) for module, old in zip(watched, before, strict=True))
    assert all(torch.isfinite(value).all() for value in student.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_sweep_times_the_cache_and_both_online_loops(world: Path, tmp_path: Path, precision: Precision) -> None:
    model().save_pretrained(tmp_path / "student")
    (tmp_path / "scratch").mkdir()
    options = Namespace(student=tmp_path / "student", quick=True, smallest=True, cpu_seconds=False)
    teachers = load_masked_lm(world / "models/teacher", "teacher"), load_masked_lm(world / "models/teacher", "teacher")
    text, pieces = TokenizedDataset(world / "data/prepared/swa"), teacher_piece_ids(world / "models/tokenizer")
    found = sweep.sweep(options, tmp_path, teachers, pieces, text, precision)
    assert {name: len(each) for name, each in found["seconds"].items()} == {
        "teacher_pass": 1, "from_cache": len(sweep.ALPHAS), "online": 1, "lean_online": 1,
    }  # fmt: skip
    assert found["share_to_read"] >= 0 and found["speedup"].keys() == {"online", "lean_online"}
    assert json.loads((tmp_path / "cache/manifest.json").read_text())["precision"] == precision


def test_repeated_text_has_no_line_twice(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("moja mbili\ntatu nne\n", encoding="utf-8")
    size = repeated(tmp_path / "a.txt", tmp_path / "b/a.txt", 3000)
    lines = (tmp_path / "b/a.txt").read_text(encoding="utf-8").splitlines()
    assert 3000 <= size == (tmp_path / "b/a.txt").stat().st_size < 3100
    assert len(set(lines)) == len(lines) and not any(char.isdigit() for line in lines for char in line)


def test_the_last_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    finish({"figure": 1.5, "machine": machine(2)})
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["machine"]["threads"] == 2 and len(found["machine"]["load"]) == 3


def test_cpu_seconds_leave_waiting_out() -> None:
    options = plain_parser("x").parse_args(["--cpu-seconds"])
    assert clock(options).__name__ == "process_time"


@pytest.mark.parametrize("masked", [1.0, 0.25])
def test_arithmetic_counted_from_the_shape_is_what_torch_counts(masked: float) -> None:
    length, student = 40, model(3)
    ids = torch.randint(5, PIECES, (1, length))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        hidden = student.roberta(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        student.lm_head(hidden[:, : int(length * masked)])
    config = student.config
    shape = scale_sim.Shape(3, config.hidden_size, config.intermediate_size, PIECES)
    assert counter.get_total_flops() == pytest.approx(length * shape.forward_flops(length, masked), rel=0.01)


def test_a_rate_is_the_line_through_two_runs_and_never_runs_backwards() -> None:
    rate = scale_sim.fit((1000, 3.0), (3000, 5.0))
    assert rate.seconds(5000) == pytest.approx(7.0)
    assert scale_sim.fit((1000, 5.0), (3000, 4.0)).per_token > 0  # noise


def test_bytes_of_prepared_text_are_predicted(world: Path) -> None:
    folder = world / "data/prepared/swa"
    splits = json.loads((folder / "manifest.json").read_text())["splits"]
    tokens = splits["train"]["tokens"]
    found = sum(path.stat().st_size for path in folder.glob("train-*.safetensors"))
    sequences = splits["train"]["sequences"]
    offsets = 4 * sequences * (1 + scale_sim.VARIANTS)  # which weigh more in short sentences than at length 128
    assert found - offsets == pytest.approx(tokens * scale_sim.prepared_bytes_per_token(PIECES), rel=0.15)


def test_sums_grow_with_the_tokens_and_name_what_is_assumed() -> None:
    rates = {"tokenize": scale_sim.Rate(0.0, 1e-6)}
    small, large = (scale_sim.sums(tokens, rates) for tokens in (10_000_000, 1_000_000_000))
    assert all(large[name] == pytest.approx(100 * small[name]) for name in small)
    # By hand: 24 layers of 12,582,912 weights, 2 * 128 * 1024 for scores and sums; 15 % of 1024 * (1024 + 250,002).
    by_hand = 2 * (24 * (12_582_912 + 262_144) + 0.15 * 1024 * 251_026)
    assert scale_sim.LARGE.forward_flops(128, 0.15) == pytest.approx(by_hand)
    assert small["teacher_flops"] == pytest.approx(2 * 10_000_000 * by_hand)
    assert all(source for _, source in scale_sim.ASSUMED.values())


def test_the_list_of_docs_scaling_is_what_the_simulation_says() -> None:
    text = (Path(__file__).parents[2] / "docs/internals/scaling.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^- `(\w+)` ([\d.,e]+):", text))
    found = scale_sim.sums(1_000_000_000, {"tokenize": scale_sim.Rate(0.0, 0.0)})
    names = set(found) - {"tokenize_hours"}  # measured, so another on each machine
    assert set(rows) >= names
    for name in names:
        assert float(rows[name].replace(",", "")) == pytest.approx(found[name], rel=0.06), name


@pytest.mark.parametrize("name", ["cache", "student", "finetune", "adapt"])
def test_the_gpu_benchmark_runs_every_part_also_without_a_gpu(name: str) -> None:
    budget = gpu.Budget(60)
    figures = gpu.measured(name, True, budget)
    rates = figures.get("tokens_per_second") or figures["rows_per_second"]
    assert rates.keys() == figures["share_of_peak"].keys() and budget.left_out == {}
    assert {rate.split()[-1] for rate in rates} == {"bfloat16", "float32"}
    assert figures["peak_gpu_mib"] is None or torch.cuda.is_available()
    assert gpu.PARTS.keys() == {"cache", "student", "finetune", "adapt"}


def test_a_sequence_of_the_gpu_benchmark_has_its_masks() -> None:
    assert gpu.random_shard(1000, 3).mask_offsets.tolist() == [[0, 19, 38, 57]]


def test_what_there_is_no_time_or_memory_for_is_left_out_and_named() -> None:
    def too_large() -> int:
        raise torch.OutOfMemoryError

    budget, over = gpu.Budget(60), gpu.Budget(-1)
    assert (budget.measure("fits", lambda: 7), budget.measure("adapt", too_large)) == (7, None)
    assert over.measure("late", lambda: 7) is None
    assert budget.left_out == {"adapt": "out of memory"} and over.left_out == {"late": "no time left"}


def test_the_time_of_a_first_run_is_shared_out_among_the_stages_as_dvc_announces_them(monkeypatch) -> None:
    lines = ["Reading\n", "Running stage 'tasks@sentiment':\n", "> python\n", "Running stage 'corpus':\n", "Done\n"]
    clock = iter([100.0, 101.5, 104.0, 110.0])
    monkeypatch.setattr(first_run.time, "perf_counter", lambda: next(clock))
    assert first_run.stage_seconds(lines) == {"start": 1.5, "tasks@sentiment": 2.5, "corpus": 6.0}


def test_a_stage_that_counts_no_seconds_has_no_work(tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text('{"seconds": 2.5, "lines": 7}', encoding="utf-8")
    (tmp_path / "other.json").write_text('{"lines": 7}', encoding="utf-8")
    assert first_run.work_seconds(tmp_path) == {"corpus": 2.5}
