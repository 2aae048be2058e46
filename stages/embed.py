"""Stage embed@NAME: the student becomes a sentence encoder by self-distillation on parallel text."""

import shutil
from pathlib import Path

from filelock import FileLock

from distil.core.files import atomic_folder, scratch_folder, sha256_file, sha256_json, write_checksums, write_json
from distil.core.pipeline import code_checksums
from distil.embedding.config import check_library, load_embedding
from distil.embedding.data import read_pairs
from distil.embedding.teacher_vectors import cached_vectors, pieces_per_word, scaled
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage


def main(name: str) -> None:
    """Write models/embedding/NAME, an encoder for sentence-transformers and one in ONNX, and its losses."""
    cost = StageCost()
    config, languages = load_embedding(name)
    check_library()
    from distil.embedding.encoder import train_encoder
    from distil.embedding.onnx_encoder import check_script, export_encoder

    data, student, teacher = Path("data/pairs") / name, Path("models/student"), Path(config.teacher)
    check_script(student)
    pairs = read_pairs(data, name, languages)
    rows = [pair for each in pairs.train.values() for pair in each]
    texts = sorted({pair.pivot for pair in rows})
    pieces = pieces_per_word(student, texts, pairs.pivot)
    numbers = {text: number for number, text in enumerate(texts)}
    vectors = scaled(cached_vectors(teacher, texts, config.training.max_length, config.training.precision))
    targets = vectors[[numbers[pair.pivot] for pair in rows]]
    key = sha256_json({
        "training": config.training.model_dump(), "code": code_checksums("embed"),
        "sums": [sha256_file(path) for path in (data / "checksums.json", student / "model.safetensors",
                                                teacher / "model.safetensors")],
    })  # fmt: skip
    scratch = scratch_folder("embed", key)
    with FileLock(scratch / "lock"), atomic_folder(Path("models/embedding") / name) as out:
        losses = train_encoder(student, rows, targets, config.training, scratch, out / "sentence-transformers")
        codes, length = [pairs.pivot, *languages], config.training.max_length
        export_encoder(out / "sentence-transformers", codes, length, out / "int8")
        write_json(out / "manifest.json", {"languages": codes, "pieces_per_pivot_word": pieces, "losses": losses})
        write_checksums(out)
    cost.write(Path(f"metrics/cost/embed-{name}.json"), rows=config.training.steps * config.training.batch_size)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    run_stage(main, "NAME")
