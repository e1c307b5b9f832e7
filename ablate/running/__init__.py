"""Who computes what, exactly once: queue, workers, supervisor, and what a study's folder holds."""
