"""``python -m ablate``: the command line where the ``ablate`` script is not on the path."""

from ablate.cli.commands import main

if __name__ == "__main__":
    main()
