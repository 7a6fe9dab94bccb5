"""One module per stage, named as its command: tables in, one table or figure out."""
