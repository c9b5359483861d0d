"""A guarded worker as real processes, real clocks, a pretended Telegram, every fault there is."""
