"""The exporter process: hears the beats of a truth's services and shows Prometheus when each was last heard."""
