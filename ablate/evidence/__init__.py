"""What the runs allow to be said: results gathered into records, differences, verdicts."""
