"""The stages of dvc.yaml: each file is a command, `python -m stages.NAME`."""

import sys

if sys.argv[0] == "-m":  # a stage is about to start; not when one of them is imported, by a test or a notebook
    from distil.runtime.lean_process import start_lean

    start_lean()  # before modules that register what is to be done at the end
    from distil.runtime.signals import exit_on_signal
    from distil.runtime.thread_share import share_cores

    exit_on_signal()
    share_cores()
