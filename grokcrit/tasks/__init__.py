"""What is trained, and files that others saved."""
