"""Audits of networks: every shift of a data set, layer by layer, by published protocols."""
