"""What clients say and want to hear: bodies to jobs, rankings to bodies. No model is met here."""
