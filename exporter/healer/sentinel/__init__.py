"""The sentinel process: turns Alertmanager's webhooks into the events on Redis and hears when the pipeline falls silent."""
