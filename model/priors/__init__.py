"""The directional priors: A token dropout, A2 schedules, B the loss's tail, C attention bias."""
