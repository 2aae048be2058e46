"""Where text and rows come from: local files, the Hub, pinned downloads, the synthetic sample."""
