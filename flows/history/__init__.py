"""What was: run commits, what REF means, going back, what is kept and what is freed, and a commit run by itself."""
