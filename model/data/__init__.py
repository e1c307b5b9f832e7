"""Datasets: one reader per layout, one :class:`~model.data.samples.Sample` record for all."""
