"""`python -m elbox`: the command line without its script."""

from elbox.cli import main

if __name__ == "__main__":
    main()
