"""The command line, a file for each family: parse, call, print."""
