"""Options, errors, names, random streams, threads and processes: what everything stands on."""
