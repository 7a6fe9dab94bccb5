"""``python -m grokcrit``."""

from grokcrit.cli import main

main()
