"""A whole monitored world on this machine, and the story it tells: a service dies, an alert comes, it returns."""
