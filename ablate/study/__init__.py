"""What is asked: a study file, validated into records, and its runs. No torch, pandas or Optuna."""
