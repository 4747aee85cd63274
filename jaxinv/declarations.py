"""Promises of layers that choose from the data, written into the program for the certificate."""
