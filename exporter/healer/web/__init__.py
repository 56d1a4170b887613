"""What Healer's HTTP faces share: listening, the metrics page, health, reload and the landing page."""
