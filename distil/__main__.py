"""`python -m distil`: the command `distil` in a clone, where nothing of the project is installed."""

from distil.cli import main

if __name__ == "__main__":
    main()
