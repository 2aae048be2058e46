"""Start and end of a process, launch of several, progress, presets, machine facts. No result depends on it."""
