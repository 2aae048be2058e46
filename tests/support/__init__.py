"""Helpers of the tests: toy models and tasks, repositories, a stand-in hub."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
