"""What every Healer daemon stands on: time, logging, signals, supervised tasks and sd_notify."""
