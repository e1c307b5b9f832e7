"""One figure, one file. matplotlib is used here and nowhere else."""
