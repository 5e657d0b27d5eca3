"""`python -m xraygpt_edge`."""

from xraygpt_edge.cli import main

if __name__ == "__main__":
    main()
