"""Choose a preset; `distil preset` is the same. No stage: it only writes params.yaml, or nothing at all."""

from distil.runtime.preset_command import run

if __name__ == "__main__":
    run()
