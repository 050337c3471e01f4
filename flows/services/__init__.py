"""What runs when no verb does: MLflow's UI, the Prefect server, and the schedule's runner."""
