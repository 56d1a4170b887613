"""What Grafana shows, in Python; `python -m dashboards` writes it as the bundle's templates. No part of the product."""
