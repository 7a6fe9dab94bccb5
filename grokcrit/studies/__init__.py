"""Studies that run several stages: their only home, as stages do not import each other."""
