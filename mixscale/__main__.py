"""`python -m mixscale` is the command `mixscale`."""

from mixscale.cli.main import main

if __name__ == "__main__":
    main()
