"""`python -m lookwhere_cli` is `lookwhere`."""

from lookwhere_cli.cli.app import main

if __name__ == "__main__":
    main()
