"""The corpus of the ablation `adapted`: all tweets without labels and other text, 2.5 MB per language, shuffled.

    python docs/examples/tweets_corpus.py ../shared/data/corpus ../text

Reads tweets_LANG.txt and LANG.txt of the first folder, writes LANG.txt into the second.
"""

import random
import sys
from pathlib import Path

LANGUAGES = ("kin", "swa", "hau", "ibo", "yor")
BYTES = 2_500_000


def main(source: Path, out: Path) -> None:
    """Write one file per language."""
    out.mkdir(exist_ok=True)
    for code in LANGUAGES:
        lines = (source / f"tweets_{code}.txt").read_text(encoding="utf-8").splitlines()
        room = BYTES - sum(len(line.encode()) + 1 for line in lines)
        for line in (source / f"{code}.txt").read_text(encoding="utf-8").splitlines():
            room -= len(line.encode()) + 1
            if room < 0:
                break
            lines.append(line)
        random.Random(1).shuffle(lines)
        (out / f"{code}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
