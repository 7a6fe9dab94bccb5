"""One module a stage, named as its command. Stages do not import each other."""
