"""What everything stands on: options, errors, names, random streams, threads."""
