"""The command line. Each verb calls the parts to the left and shows what they answer; none decides anything.

A verb imports what it needs when it is called: ``--help`` imports nothing but click.
"""

from fetchbench.cli.group import fetchbench

__all__ = ["fetchbench"]
