"""`python -m distil.predict`: the prediction command; distil/serving/cli.py implements it."""

from distil.serving.cli import run

if __name__ == "__main__":
    run()
